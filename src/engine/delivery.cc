#include "engine/delivery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"

namespace casemate {
namespace {

// The user's own path: symlinks in it are the user's, and followed.
int make_parents_and(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (::mkdir(path.substr(0, slash).c_str(), 0777) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES) return errno;
  }
  return ::mkdir(path.c_str(), 0777) < 0 && errno != EEXIST ? errno : 0;
}

}  // namespace

Result<Delivery> Delivery::open(const std::string& destination) {
  auto root = open_file(destination, O_PATH | O_DIRECTORY);
  if (!root && root.error().errno_value == ENOENT) {
    if (const int problem = make_parents_and(destination)) return fail_errno("make the directory " + printable_name(destination), problem);
    root = open_file(destination, O_PATH | O_DIRECTORY);
  }
  if (!root) return fail_errno("open the directory " + printable_name(destination), root.error().errno_value);
  return Delivery(std::move(*root));
}

Attempt<int> Delivery::directory(const std::string& path) {
  if (path.empty()) return root_.get();
  if (here_ && path == path_) return here_.get();
  // The parent is there already, as a rule: one level to make and no more.
  const auto slash = path.rfind('/');
  UniqueFd parent;
  if (slash != std::string::npos) {
    if (auto found = open_beneath(root_.get(), path.substr(0, slash), O_PATH | O_DIRECTORY)) parent = std::move(*found);
  }
  Attempt<UniqueFd> opened = std::unexpected(ENOENT);
  if (parent || slash == std::string::npos) {
    const std::string name = path.substr(slash + 1);
    const int at = parent ? parent.get() : root_.get();
    if (::mkdirat(at, name.c_str(), 0777) < 0 && errno != EEXIST) return std::unexpected(errno);
    opened = open_beneath(at, name, O_PATH | O_DIRECTORY);
  } else {
    opened = make_directories_beneath(root_.get(), path);
  }
  if (!opened) return std::unexpected(opened.error());
  here_ = std::move(*opened);
  path_ = path;
  return here_.get();
}

Attempt<UniqueFd> Delivery::file(const std::string& path, const std::string& name, bool executable) {
  const auto parent = directory(path);
  if (!parent) return std::unexpected(parent.error());
  return make_file_beneath(*parent, name, executable ? 0777 : 0666);
}

Attempt<void> Delivery::link(const std::string& path, const std::string& name, const std::string& target, const struct timespec& modified) {
  const auto parent = directory(path);
  if (!parent) return std::unexpected(parent.error());
  if (::symlinkat(target.c_str(), *parent, name.c_str()) < 0) return std::unexpected(errno);
  const struct timespec times[2] = {modified, modified};
  (void)::utimensat(*parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
  return {};
}

void Delivery::take_back(const std::string& path, const std::string& name) {
  if (const auto parent = directory(path)) (void)::unlinkat(*parent, name.c_str(), 0);
}

void Delivery::set_time(const std::string& path, const struct timespec& modified) {
  const auto opened = open_beneath(root_.get(), path, O_PATH | O_DIRECTORY);
  const struct timespec times[2] = {modified, modified};
  if (opened) (void)::utimensat(opened->get(), "", times, AT_EMPTY_PATH);
}

Result<std::vector<UniqueFd>> open_destinations(const Job& job) {
  std::vector<UniqueFd> opened;
  if (job.collect_to.empty() || job.collect.empty()) return opened;
  TRY_ASSIGN(Delivery delivery, Delivery::open(job.collect_to));
  UniqueFd root = std::move(delivery).take_root();
  if (job.collect.size() == 1) {
    opened.push_back(std::move(root));
    return opened;
  }
  for (const std::string& place : job.collect) {
    auto directory = make_directories_beneath(root.get(), place.substr(1));
    if (!directory)
      return fail_errno(fmt::format("make {} in {}", printable_name(place.substr(1)), printable_name(job.collect_to)), directory.error());
    opened.push_back(std::move(*directory));
  }
  return opened;
}

}  // namespace casemate
