#include "action/composition.h"

#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr int kMostLinks = 40;  // as path_resolution(7) has it

// A directory while things are put into it. A name that is in one of the maps hides what `base` has of that name.
struct DraftDirectory {
  InputDirectoryPtr base;
  std::map<std::string, InputDirectory::File> files;
  std::map<std::string, std::string> symlinks;
  std::map<std::string, std::unique_ptr<DraftDirectory>> directories;

  explicit DraftDirectory(InputDirectoryPtr tree) : base(std::move(tree)) {}

  void forget(const std::string& name) {
    files.erase(name);
    symlinks.erase(name);
    directories.erase(name);
  }
  [[nodiscard]] bool hides(const std::string& name) const {
    return files.contains(name) || symlinks.contains(name) || directories.contains(name);
  }
  // nullptr: `name` is no symlink.
  [[nodiscard]] const std::string* symlink(const std::string& name) const {
    const auto& from = hides(name) ? symlinks : base->symlinks;
    const auto found = from.find(name);
    return found == from.end() ? nullptr : &found->second;
  }
  // Made where there is nothing; nullptr: `name` is a file.
  DraftDirectory* directory(const std::string& name) {
    if (const auto found = directories.find(name); found != directories.end()) return found->second.get();
    if (hides(name) || base->files.contains(name)) return nullptr;
    const auto found = base->directories.find(name);
    auto draft = std::make_unique<DraftDirectory>(found == base->directories.end() ? empty_input() : found->second);
    return directories.emplace(name, std::move(draft)).first->second.get();
  }
  [[nodiscard]] InputDirectoryPtr finish() const {
    std::map<std::string, InputDirectoryPtr> made;
    for (const auto& [name, draft] : directories) {
      InputDirectoryPtr below = draft->finish();
      const auto old = base->directories.find(name);
      if (old == base->directories.end() || old->second != below) made.emplace(name, std::move(below));
    }
    if (made.empty() && files.empty() && symlinks.empty()) return base;
    InputDirectory copy{.files = base->files, .symlinks = base->symlinks, .directories = base->directories};
    const auto drop = [&copy](const std::string& name) {
      copy.files.erase(name);
      copy.symlinks.erase(name);
      copy.directories.erase(name);
    };
    for (const auto& [name, file] : files) drop(name), copy.files.emplace(name, file);
    for (const auto& [name, target] : symlinks) drop(name), copy.symlinks.emplace(name, target);
    for (auto& [name, below] : made) drop(name), copy.directories.emplace(name, std::move(below));
    return seal(std::move(copy));
  }
};

// Where a path has led: its directories from the root's own on, and the name in the last of them ("": that directory itself).
struct DraftPlace {
  std::vector<std::pair<std::string, DraftDirectory*>> way;
  std::string name;
};

std::unexpected<Error> no_place(const std::string& place, std::string_view why) {
  return fail(ErrorCode::invalid_input, fmt::format("can't put an input at {}: {}", printable_line(place), why));
}

// The last part of the path is not looked at but, if `follow`, where it is a symlink.
Result<DraftPlace> walk(DraftDirectory& root, const std::string& path, bool follow) {
  DraftPlace at{.way = {{"", &root}}};
  if (!path.starts_with('/')) return no_place(path, "it is not absolute");
  if (to_utf8(path) != path || path.find('\0') != std::string::npos) return no_place(path, "it is not UTF-8");
  int links = 0;
  for (std::string rest = path; !rest.empty();) {
    const std::size_t slash = rest.find('/');
    const std::string part = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (!at.name.empty()) {
      DraftDirectory* below = at.way.back().second->directory(at.name);
      if (!below) return no_place(path, fmt::format("{} on the way to it is no directory", printable_name(at.name)));
      if (at.way.size() > kDeepestInput) return no_place(path, "it is too deep");
      at.way.emplace_back(std::move(at.name), below);
      at.name.clear();
    }
    if (part == "..") {
      if (at.way.size() > 1) at.way.pop_back();
      continue;
    }
    const bool last = rest.find_first_not_of('/') == std::string::npos;
    const std::string* target = at.way.back().second->symlink(part);
    if (!target || (last && !follow)) {
      at.name = part;
      continue;
    }
    if (++links > kMostLinks) return no_place(path, "too many symlinks are on the way to it");
    if (target->starts_with('/')) at.way.resize(1);
    rest = rest.empty() ? *target : *target + "/" + rest;
  }
  return at;
}

Result<void> put(std::unique_ptr<DraftDirectory>& root, const PlacedInput& placed) {
  const bool is_link = std::holds_alternative<PlacedInput::SymlinkTarget>(placed.input);
  TRY_ASSIGN(const DraftPlace at, walk(*root, placed.place, !is_link));
  DraftDirectory* parent = at.way.back().second;
  std::string name = at.name;
  if (name.empty() && at.way.size() > 1) {  // the path ended in ".."
    name = at.way.back().first;
    parent = at.way[at.way.size() - 2].second;
  }
  const auto* tree = std::get_if<InputDirectoryPtr>(&placed.input);
  if (name.empty()) {
    if (!tree) return no_place(placed.place, "it is the root");
    root = std::make_unique<DraftDirectory>(*tree);
    return {};
  }
  parent->forget(name);
  if (tree) {
    parent->directories.emplace(name, std::make_unique<DraftDirectory>(*tree));
  } else if (const auto* target = std::get_if<PlacedInput::SymlinkTarget>(&placed.input)) {
    if (to_utf8(*target) != *target || target->empty()) return no_place(placed.place, "the symlink's target is not UTF-8");
    parent->symlinks.emplace(name, *target);
  } else {
    parent->files.emplace(name, std::get<InputDirectory::File>(placed.input));
  }
  return {};
}

}  // namespace

Result<InputDirectoryPtr> compose(const InputDirectoryPtr& base, std::span<const PlacedInput> placed) {
  auto root = std::make_unique<DraftDirectory>(base);
  for (const PlacedInput& one : placed) TRY(put(root, one));
  return root->finish();
}

Result<std::string> resolve_input(const InputDirectoryPtr& root, const std::string& path) {
  DraftDirectory draft(root);
  TRY_ASSIGN(const DraftPlace at, walk(draft, path, true));
  std::string resolved;
  for (std::size_t i = 1; i < at.way.size(); ++i) resolved += "/" + at.way[i].first;
  if (!at.name.empty()) resolved += "/" + at.name;
  return resolved.empty() ? "/" : resolved;
}

}  // namespace casemate
