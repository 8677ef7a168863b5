#include "engine/lower.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {

std::string overlay_attribute(int fd, const std::string& name) {
  std::string value = extended_attribute(fd, ("user.overlay." + name).c_str());
  return value.empty() ? extended_attribute(fd, ("trusted.overlay." + name).c_str()) : value;
}

LowerLayers::LowerLayers(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto root = open_file(path, O_PATH | O_DIRECTORY);
    if (!root && problem_.empty()) {
      problem_ =
          fmt::format("can't look into the lower directory {} ({}): what was modified or deleted there is shown as created, or not at all",
                      printable_name(path), std::strerror(root.error().errno_value));
    }
    roots_.push_back(root ? std::move(*root) : UniqueFd());
  }
}

LayerSet LowerLayers::all() const {
  LayerSet set;
  for (std::uint32_t i = 0; i < roots_.size(); ++i) {
    if (roots_[i]) set.push_back(i);
  }
  return set;
}

int LowerLayers::directory(const std::string& path, std::uint32_t layer) {
  if (path.empty()) return roots_[layer].get();
  if (path != path_) {
    open_.clear();
    path_ = path;
  }
  auto [place, added] = open_.try_emplace(layer);
  if (added) {
    if (auto opened = open_beneath(roots_[layer].get(), path, O_PATH | O_DIRECTORY)) place->second = std::move(*opened);
  }
  return place->second.get();
}

std::optional<LowerEntry> LowerLayers::find(const std::string& path, const LayerSet& set, const std::string& name) {
  std::optional<LowerEntry> found;
  for (std::size_t i = 0; i < set.size(); ++i) {
    const int fd = directory(path, set[i]);
    if (fd < 0) continue;
    const auto info = stat_beneath(fd, name);
    if (!info) continue;
    const bool is_directory = S_ISDIR(info->st_mode);
    if (found && !is_directory) break;
    if (S_ISCHR(info->st_mode) && info->st_rdev == 0) break;
    if (!found) found = LowerEntry{*info, set[i], {}};
    if (!is_directory) break;
    found->layers.push_back(set[i]);
    if (i + 1 < set.size()) {
      const auto opened = open_beneath(fd, name, O_RDONLY | O_DIRECTORY);
      if (opened && overlay_attribute(opened->get(), "opaque") == "y") break;
    }
  }
  return found;
}

std::set<std::string> LowerLayers::names(const std::string& path, const LayerSet& set, std::uint64_t limit) {
  std::set<std::string> names;
  for (const std::uint32_t layer : set) {
    const int fd = directory(path, layer);
    if (fd < 0) continue;
    const auto opened = open_beneath(fd, ".", O_RDONLY | O_DIRECTORY);
    if (!opened) continue;
    DirectoryReader reader(opened->get());
    for (auto entry = reader.next(); names.size() < limit && entry && *entry; entry = reader.next()) names.emplace((*entry)->name);
  }
  return names;
}

Attempt<UniqueFd> LowerLayers::open(const std::string& path, std::uint32_t layer, const std::string& name) {
  auto file = open_beneath(directory(path, layer), name, O_RDONLY);
  if (!file) return file;
  struct stat info{};
  if (::fstat(file->get(), &info) < 0 || !S_ISREG(info.st_mode)) return std::unexpected(EINVAL);
  return file;
}

Attempt<std::string> LowerLayers::link(const std::string& path, std::uint32_t layer, const std::string& name) {
  return read_link_beneath(directory(path, layer), name);
}

}  // namespace casemate
