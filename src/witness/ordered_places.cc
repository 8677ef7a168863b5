#include "witness/ordered_places.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/path.h"
#include "witness/process_list.h"

namespace casemate {
namespace {

constexpr int kDeepest = 64;
constexpr std::uint64_t kMostCounted = 200'000;

std::unexpected<Error> hindered(const std::string& step, std::string what, int problem) {
  return fail(ErrorCode::system, std::move(what), problem, step);
}

// mkdir -p, following the links that the root may have (/var/run). errno, 0 if it is there.
int make_directories(const std::string& path, mode_t mode) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    (void)::mkdir(path.substr(0, slash).c_str(), 0755);
  if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST) return errno;
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) return errno;
  if (!S_ISDIR(info.st_mode)) return ENOTDIR;
  // Of another owner's it stays as it is, which may do.
  if ((info.st_mode & 07777) != mode) (void)::chmod(path.c_str(), mode);
  return 0;
}

std::uint64_t bytes_below(int directory, int depth, std::uint64_t& counted, const std::set<std::string>& without = {}) {
  std::uint64_t sum = 0;
  (void)for_each_entry(directory, [&](const std::string& name, const struct stat& info) -> Attempt<void> {
    if (without.contains(name)) return {};
    if (++counted > kMostCounted) return std::unexpected(E2BIG);
    if (S_ISREG(info.st_mode)) sum += static_cast<std::uint64_t>(std::min<std::int64_t>(info.st_blocks * 512, info.st_size));
    if (!S_ISDIR(info.st_mode) || depth == 0) return {};
    if (const auto inner = open_despite_mode(directory, name, O_RDONLY | O_DIRECTORY, 0500))
      sum += bytes_below(inner->get(), depth - 1, counted);
    return {};
  });
  return sum;
}

std::set<std::string> names_in(const std::string& path) {
  std::set<std::string> names;
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return names;
  (void)for_each_entry(directory.get(), [&](const std::string& name, const struct stat&) -> Attempt<void> {
    names.insert(name);
    return {};
  });
  return names;
}

}  // namespace

Result<OrderedPlaces> OrderedPlaces::open() {
  OrderedPlaces places;
  char directory[PATH_MAX];
  if (!::getcwd(directory, sizeof directory)) return fail_errno("find the input root");
  places.directory_ = directory;
  TRY_ASSIGN(places.root_, open_file(".", O_RDONLY | O_DIRECTORY));
  return places;
}

Result<void> OrderedPlaces::make(const WitnessOrder& order) {
  if (directory_ != "/") {
    for (const std::string& place : order.places) TRY(lead(place));
  }
  for (const WitnessOrder::Fresh& fresh : order.fresh) {
    const int problem = make_directories(fresh.path, fresh.mode);
    if (problem != 0 && !fresh.needed) continue;
    if (problem != 0) return hindered("make the directory " + printable_name(fresh.path), "", problem);
    fresh_.emplace(fresh.path, names_in(fresh.path));
  }
  // A working directory in a place of the worker's that can't be made is told when the job can't change to it.
  if (::access(order.cwd.c_str(), F_OK) == 0 || make_directories(order.cwd, 0755) != 0) return {};
  const auto holds = [&](const auto& fresh) { return order.cwd.starts_with(fresh.first + "/"); };
  if (std::none_of(fresh_.begin(), fresh_.end(), holds)) fresh_.emplace(order.cwd, std::set<std::string>());
  return {};
}

Result<void> OrderedPlaces::lead(const std::string& place) {
  const std::string target = directory_ + place;
  const std::string step = "put " + printable_name(place) + " at its place";
  const auto slash = place.rfind('/');
  if (slash > 0) (void)make_directories(place.substr(0, slash), 0755);
  if (::symlink(target.c_str(), place.c_str()) == 0) {
    links_.push_back(place);
    return {};
  }
  const int problem = errno;
  struct stat there{}, ours{};
  if (problem == EEXIST && ::stat(place.c_str(), &there) == 0 && ::stat(target.c_str(), &ours) == 0 && there.st_dev == ours.st_dev &&
      there.st_ino == ours.st_ino)
    return {};
  return hindered(step,
                  problem == EEXIST ? "the worker has something there already"
                                    : "the worker's own root can't be written; take an engine whose workers make the input root their "
                                      "root, or an image in which that can be written",
                  problem);
}

bool OrderedPlaces::has_network() {
  const std::string devices = small_file("/proc/self/net/dev");
  std::size_t line = 0;
  for (std::size_t at = 0; at < devices.size(); ++line) {
    const std::size_t end = std::min(devices.find('\n', at), devices.size());
    const std::string_view text(devices.data() + at, end - at);
    at = end + 1;
    if (line < 2) continue;  // headings
    const auto first = text.find_first_not_of(' ');
    if (first != std::string_view::npos && !text.substr(first).starts_with("lo:")) return true;
  }
  return line < 3;  // nothing to be read: nobody knows
}

Result<UniqueFd> OrderedPlaces::clear_own() {
  const std::string name(kActionPlace);
  UniqueFd own(::openat(root_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (own) (void)change_mode(own.get(), 0755);
  own.reset(::openat(root_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!own) {
    (void)remove_tree_at(root_.get(), name);
    if (::mkdirat(root_.get(), name.c_str(), 0755) < 0) return fail_errno("make " + name + " again");
    own.reset(::openat(root_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!own) return fail_errno("open " + name);
  }
  for (const char* inner : {"result", "reports", "changes"}) (void)remove_tree_at(own.get(), inner);
  if (::mkdirat(own.get(), "changes", 0755) < 0) return fail_errno("make " + std::string(kActionChanges));
  return own;
}

std::uint64_t OrderedPlaces::mounted_bytes() const {
  std::uint64_t most = 0;
  for (const auto& [path, before] : fresh_) {
    struct statfs info{};
    if (::statfs(path.c_str(), &info) < 0 || info.f_type != TMPFS_MAGIC) continue;
    struct stat here{}, above{};
    if (::stat(path.c_str(), &here) < 0 || ::stat((path + "/..").c_str(), &above) < 0 || here.st_dev == above.st_dev) continue;
    most = std::max(most, static_cast<std::uint64_t>(info.f_blocks - info.f_bfree) * static_cast<std::uint64_t>(info.f_bsize));
  }
  return most;
}

OrderedPlaces::Written OrderedPlaces::written(const std::vector<std::string>& counted) const {
  Written all;
  for (const auto& [path, before] : fresh_) {
    const auto covers = [&](const std::string& place) { return place == "/" || (path + "/").starts_with(place + "/"); };
    if (std::any_of(counted.begin(), counted.end(), covers)) continue;
    const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory) all.bytes += bytes_below(directory.get(), kDeepest, all.files, before);
  }
  return all;
}

bool OrderedPlaces::full() const {
  struct statfs info{};
  return ::fstatfs(root_.get(), &info) == 0 && info.f_blocks > 0 && (info.f_bavail == 0 || (info.f_files > 0 && info.f_ffree == 0));
}

void OrderedPlaces::take_back() {
  for (const std::string& link : links_) {
    struct stat info{};
    if (::lstat(link.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) (void)::unlink(link.c_str());
  }
}

}  // namespace casemate
