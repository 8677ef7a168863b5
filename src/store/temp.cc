// Temp directories of the store; how they live and are swept: theory of operation in store.cc.
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "store/parts.h"
#include "store/tree.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::string_view kLock = ".lock";
constexpr std::string_view kStuck = "stuck.";

// <pid>.<16 hex digits>, as make_temp() names them; all else in tmp/ is foreign.
bool is_temp_name(std::string_view name) {
  const std::size_t dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 && name.substr(0, dot).find_first_not_of("0123456789") == std::string_view::npos &&
         name.size() == dot + 17 && name.substr(dot + 1).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Removes a temp directory, or moves what can't be removed out of the way of every later open().
Result<void> remove_temp(const std::string& path) {
  auto removed = remove_tree(path);
  if (!removed) {
    const std::size_t slash = path.rfind('/');
    const std::string stuck = fmt::format("{}/{}{}", path.substr(0, slash), kStuck, path.substr(slash + 1));
    ::rename(path.c_str(), stuck.c_str());
  }
  return removed;
}

// Sweeps one name of tmp/: a lock file with its directory, or a directory whose lock file is gone.
void sweep_name(const std::string& tmp, std::string_view name) {
  if (name.ends_with(kLock) && is_temp_name(name.substr(0, name.size() - kLock.size()))) {
    auto lock = LockFile::open(fmt::format("{}/{}", tmp, name), false);
    if (!lock) return;
    auto mine = lock->try_lock(LockFile::Part::both, LockFile::Mode::exclusive);
    if (!mine || !*mine || !lock->current()) return;
    static_cast<void>(remove_temp(fmt::format("{}/{}", tmp, name.substr(0, name.size() - kLock.size()))));
    lock->remove();
  } else if (is_temp_name(name)) {
    struct stat info{};
    const std::string path = fmt::format("{}/{}", tmp, name);
    if (::lstat((path + std::string(kLock)).c_str(), &info) < 0 && errno == ENOENT) static_cast<void>(remove_temp(path));
  }
}

}  // namespace

Result<std::unique_ptr<StoreTemp>> Store::Parts::make_temp() const {
  const std::string tmp = place.directory + "/tmp";
  for (;;) {
    const std::string path = fmt::format("{}/{}.{}", tmp, ::getpid(), random_name());
    auto lock = LockFile::open(path + std::string(kLock), true);
    if (!lock && lock.error().errno_value == ENOENT) {
      if (::mkdir(tmp.c_str(), 0700) < 0 && errno != EEXIST) return place.failure("make the directory " + tmp, errno);
      continue;
    }
    if (!lock) return place.failure("make a temporary directory in " + tmp, lock.error().errno_value);
    TRY(lock->lock(LockFile::Part::both, LockFile::Mode::exclusive));
    if (!lock->current()) continue;  // a sweeper was between our open and our lock
    if (::mkdir(path.c_str(), 0700) < 0) {
      const int error = errno;
      lock->remove();
      return place.failure("make a temporary directory in " + tmp, error);
    }
    return std::make_unique<StoreTemp>(path, lock->take());
  }
}

Result<std::string> Store::Parts::move_away(const std::string& path) const {
  const std::string tmp = place.directory + "/tmp";
  std::string away = fmt::format("{}/{}.{}", tmp, ::getpid(), random_name());
  struct stat info{};
  if (::lstat(path.c_str(), &info) < 0 && errno == ENOENT) return "";
  if (::rename(path.c_str(), away.c_str()) == 0) return away;
  if (errno == ENOENT && (::mkdir(tmp.c_str(), 0700) == 0 || errno == EEXIST) && ::rename(path.c_str(), away.c_str()) == 0) return away;
  return place.failure("remove " + path, errno);
}

Result<void> Store::Parts::discard(const std::string& path) const { return path.empty() ? Result<void>() : remove_temp(path); }

void Store::Parts::sweep() const {
  const std::string tmp = place.directory + "/tmp";
  DIR* directory = ::opendir(tmp.c_str());
  if (!directory) return;  // not made yet
  while (const dirent* entry = ::readdir(directory)) sweep_name(tmp, entry->d_name);
  ::closedir(directory);
}

void Store::Parts::sweep_stuck(std::vector<Error>* problems) const {
  const std::string tmp = place.directory + "/tmp";
  std::vector<std::string> stuck;
  if (DIR* directory = ::opendir(tmp.c_str())) {
    while (const dirent* entry = ::readdir(directory)) {
      if (std::string_view(entry->d_name).starts_with(kStuck)) stuck.push_back(fmt::format("{}/{}", tmp, entry->d_name));
    }
    ::closedir(directory);
  }
  for (const std::string& path : stuck) {
    if (auto removed = remove_tree(path); !removed && problems) problems->push_back(removed.error());
  }
}

Result<void> StoreTemp::remove() {
  if (!lock_) return {};
  auto removed = remove_temp(path_);
  ::unlink((path_ + std::string(kLock)).c_str());
  lock_.reset();
  return removed;
}

StoreTemp::~StoreTemp() { static_cast<void>(remove()); }

}  // namespace casemate
