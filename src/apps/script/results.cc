#include "apps/script/results.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/terminal.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr const char* kMadeByUs = "user.casemate.results";  // on a results directory, so that the next run may delete it

std::unexpected<Error> refuse(const std::string& directory, std::string_view why) {
  return fail(ErrorCode::invalid_input, fmt::format("{} is deleted and made anew on every run, but {}; choose another with --results DIR",
                                                    printable_name(directory), why));
}

std::string real_path(const std::string& path) {
  char real[PATH_MAX];
  return ::realpath(path.c_str(), real) ? real : "";
}

// Both absolute and real. A directory holds itself.
bool holds(const std::string& directory, const std::string& path) {
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

// Also one of the same file system (a bind mount), which st_dev does not show. STATX_ATTR_MOUNT_ROOT: Linux 5.8.
bool is_mount_point(int parent, const std::string& name) {
  struct statx info{};
  if (::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &info) < 0) return false;
  return (info.stx_attributes & info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Why the existing `name` may not be deleted; "" if it may.
std::string objection(int parent, const std::string& name, const struct stat& info, const std::string& absolute,
                      const std::vector<std::string>& needed) {
  if (S_ISLNK(info.st_mode)) return "it is a symlink";
  if (!S_ISDIR(info.st_mode)) return "it is not a directory";
  if (is_mount_point(parent, name)) return "it is a mount point";
  if (holds(absolute, real_path("."))) return "it is or holds the current directory";
  const char* home = std::getenv("HOME");
  if (home && holds(absolute, real_path(home))) return "it is or holds your home directory";
  for (const std::string& path : needed) {
    const std::string real = real_path(path);
    if (!real.empty() && holds(absolute, real)) return fmt::format("{} lies in it", printable_name(path));
  }
  if (::access((absolute + "/.git").c_str(), F_OK) == 0) return "it is a git work tree";
  return "";
}

std::unexpected<Error> held_by_another(const std::string& directory) {
  return fail(ErrorCode::refused, fmt::format("another run is writing to {}; wait for its end or choose another with --results DIR",
                                              printable_name(directory)));
}

UniqueFd open_results(int parent, const std::string& name) {
  return UniqueFd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// True if `name` is ours now, or its file system knows no locks. What was locked may have been deleted and made anew by another run between
// the opening and the locking.
bool hold(int parent, const std::string& name, int directory) {
  if (::flock(directory, LOCK_EX | LOCK_NB) < 0) return errno != EWOULDBLOCK;
  struct stat held{};
  const auto named = stat_beneath(parent, name);
  return named && ::fstat(directory, &held) == 0 && held.st_dev == named->st_dev && held.st_ino == named->st_ino;
}

bool is_empty(int directory) {
  DirectoryReader reader(directory);
  const auto first = reader.next();
  return first && !*first;
}

// True if nobody else's files can be in it: an earlier run made it, or there is nothing in it. A directory that can't be read is not known.
bool may_go(int parent, const std::string& name) {
  const UniqueFd directory = open_results(parent, name);
  if (!directory) return false;
  if (::fgetxattr(directory.get(), kMadeByUs, nullptr, 0) >= 0) return true;
  return is_empty(directory.get());
}

}  // namespace

Result<Results> renew_results(const std::string& directory, const std::vector<std::string>& needed) {
  std::string path = directory;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.rfind('/');
  const std::string name = path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return refuse(directory, "that is no name of its own");
  const std::string above = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const std::string real_above = real_path(above);
  if (real_above.empty()) return fail_errno(fmt::format("make {}", printable_name(directory)));
  TRY_ASSIGN(const UniqueFd parent, open_file(real_above, O_RDONLY | O_DIRECTORY));

  std::string absolute = (real_above == "/" ? "" : real_above) + "/" + name;
  UniqueFd old;  // held until the new one is
  const auto present = stat_beneath(parent.get(), name);
  if (present) {
    const std::string why = objection(parent.get(), name, *present, absolute, needed);
    if (!why.empty()) return refuse(directory, why);
    old = open_results(parent.get(), name);
    if (old ? !hold(parent.get(), name, old.get()) : errno == ENOENT) return held_by_another(directory);
    // ./results is what the documents have always said that is deleted. Any other may be a slip: --results /tmp, --results ~/thesis.
    const bool own_name = name == "results" && real_above == real_path(".");
    if (!own_name && !may_go(parent.get(), name))
      return refuse(directory, "it holds files that no earlier run put there: delete it yourself if that is meant");
    const auto removed = remove_tree_at(parent.get(), name);
    if (!removed) return fail(removed.error().code, fmt::format("can't empty {}: {}", printable_name(directory), removed.error().what));
  } else if (present.error() != ENOENT) {
    return fail_errno(fmt::format("look at {}", printable_name(directory)), present.error());
  }
  // Whoever loses a race with another run sees that one's directory here, or none any more.
  if (::mkdirat(parent.get(), name.c_str(), 0777) < 0)
    return errno == EEXIST ? held_by_another(directory) : fail_errno(fmt::format("make {}", printable_name(directory)));
  UniqueFd made = open_results(parent.get(), name);
  if (!made && errno == ENOENT) return held_by_another(directory);
  if (!made) return Results{std::move(absolute), {}};  // a umask of 0777, say: whether files get there will be seen
  // Not empty: before we held ours another run deleted it, made its own in its place and has ended since.
  if (!hold(parent.get(), name, made.get()) || !is_empty(made.get())) return held_by_another(directory);
  ::fsetxattr(made.get(), kMadeByUs, "1", 1, 0);  // without: the next run asks for the directory to be deleted by hand
  return Results{std::move(absolute), std::move(made)};
}

}  // namespace casemate
