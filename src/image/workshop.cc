#include "image/workshop.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/tree.h"
#include "sys/path.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBenchPrefix = "bench-";

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) return fail_errno("make " + path);
  return {};
}

// uv's cache is not counted in the store's size (casemate cache info shows it, prune removes it). Past this many unpacked wheels (a few
// GiB) it is begun anew.
constexpr std::ptrdiff_t kMostArchives = 2000;
constexpr std::size_t kMostImages = 8;

// Removes benches whose builder is gone: it held a lock as long as it lived. False if some are in use.
bool sweep(const std::string& path) {
  std::error_code ignored;
  bool idle = true;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kBenchPrefix)) continue;
    const auto directory = open_file(entry.path(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const bool unused = directory && ::flock(directory->get(), LOCK_EX | LOCK_NB) == 0;
    if (unused) static_cast<void>(remove_tree(entry.path()));
    idle = idle && unused;
  }
  return idle;
}

// Only while nobody builds with it. Layers keep the files they share with it.
void bound_cache(const std::string& path) {
  std::error_code ignored;
  const fs::directory_iterator archives(path + "/cache/archive-v0", ignored);
  if (!ignored && std::distance(begin(archives), end(archives)) > kMostArchives) static_cast<void>(remove_tree(path + "/cache"));
}

// Held while benches are made and swept: between making one and locking it no other process may sweep.
Result<UniqueFd> lock_workshop(const std::string& path) {
  TRY_ASSIGN(UniqueFd lock, open_file(path + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  while (::flock(lock.get(), LOCK_EX) < 0) {
    if (errno != EINTR) return fail_errno("lock " + path);
  }
  return lock;
}

std::string shared_workshop(const Store& store) { return store.directory() + "/uv"; }
std::string image_workshops(const Store& store) { return store.directory() + "/uv-images"; }

// All shared workshops that there are.
std::vector<std::string> all_workshops(const Store& store) {
  std::vector<std::string> paths;
  std::error_code ignored;
  if (fs::is_directory(fs::symlink_status(shared_workshop(store), ignored))) paths.push_back(shared_workshop(store));
  for (const fs::directory_entry& entry : fs::directory_iterator(image_workshops(store), ignored)) {
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored)) paths.push_back(entry.path());
  }
  return paths;
}

// Removes a workshop's cache; false if somebody builds with it. The directory and its lock stay: another may be about to lock it.
Result<bool> clear(const std::string& path) {
  TRY_ASSIGN(const UniqueFd lock, lock_workshop(path));
  if (!sweep(path)) return false;
  TRY(remove_tree(path + "/cache"));
  return true;
}

// Of the images' workshops only so many keep a cache: those that were used last, as their locks' times tell.
void bound_images(const Store& store) {
  std::vector<std::pair<fs::file_time_type, std::string>> kept;
  std::error_code ignored;
  for (const std::string& path : all_workshops(store)) {
    if (path == shared_workshop(store) || !fs::exists(path + "/cache", ignored)) continue;
    kept.emplace_back(fs::last_write_time(path + "/lock", ignored), path);
  }
  std::sort(kept.rbegin(), kept.rend());
  for (std::size_t i = kMostImages; i < kept.size(); ++i) static_cast<void>(clear(kept[i].second));
}

}  // namespace

Result<InstallerCache> look_at_installer_cache(const Store& store) {
  InstallerCache found;
  for (const std::string& path : all_workshops(store)) {
    const std::string cache = path + "/cache";
    struct stat info{};
    if (::lstat(cache.c_str(), &info) < 0 && errno == ENOENT) continue;
    TRY_ASSIGN(const TreeSummary summary, summarize_tree(cache, TreeDepth::metadata));
    found.bytes += summary.bytes;
  }
  return found;
}

Result<InstallerCache> clear_installer_cache(const Store& store) {
  TRY_ASSIGN(InstallerCache cache, look_at_installer_cache(store));
  bool busy = false;
  for (const std::string& path : all_workshops(store)) {
    TRY_ASSIGN(const bool done, clear(path));
    busy = busy || !done;
    cache.cleared = true;
  }
  cache.cleared = cache.cleared && !busy;
  return cache;
}

Result<void> Workshop::furnish() {
  for (const std::string& directory : {path_ + "/cache", bench(), tree(), bench() + "/temp"}) TRY(make_directory(directory));
  // The environment's root is what a cell of any user id looks at.
  if (::chmod(tree().c_str(), 0755) < 0) return fail_errno("open up " + tree());
  TRY_ASSIGN(path_fd_, open_file(path_, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  TRY_ASSIGN(tree_fd_, open_file(tree(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return {};
}

Result<std::unique_ptr<Workshop>> Workshop::shared(Store& store, std::string_view domain) {
  static std::atomic<unsigned> serial{0};
  std::string path = shared_workshop(store);
  if (!domain.empty()) {
    path = fmt::format("{}/{}", image_workshops(store), sha256_hex(domain).substr(0, 32));
    TRY(make_directory(image_workshops(store)));
  }
  TRY(make_directory(path));
  TRY_ASSIGN(UniqueFd lock, lock_workshop(path));
  if (sweep(path)) bound_cache(path);
  std::unique_ptr<Workshop> made(new Workshop(path, fmt::format("{}{}-{}", kBenchPrefix, ::getpid(), serial++)));
  TRY(made->furnish());
  TRY_ASSIGN(made->lock_, open_file(made->bench(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::flock(made->lock_.get(), LOCK_EX | LOCK_NB) < 0) return fail_errno("lock " + made->bench());
  if (!domain.empty()) {
    ::futimens(lock.get(), nullptr);
    lock.reset();  // never two of them at a time
    bound_images(store);
  }
  return made;
}

Result<std::unique_ptr<Workshop>> Workshop::own(Store& store) {
  TRY_ASSIGN(auto temp, store.make_temp());
  std::unique_ptr<Workshop> made(new Workshop(temp->path(), std::string(kBenchPrefix) + "own"));
  made->temp_ = std::move(temp);
  TRY(made->furnish());
  return made;
}

Workshop::~Workshop() {
  if (lock_) static_cast<void>(remove_tree(bench()));
}

Result<void> Workshop::check_names() const {
  struct stat was{};
  struct stat now{};
  if (::fstat(tree_fd_.get(), &was) < 0) return fail_errno("look at the new environment");
  const auto tree = open_beneath(path_fd_.get(), bench_ + "/tree", O_PATH | O_DIRECTORY);
  const bool same = tree && ::fstat(tree->get(), &now) == 0 && was.st_dev == now.st_dev && was.st_ino == now.st_ino;
  if (!same || !open_beneath(path_fd_.get(), "cache", O_PATH | O_DIRECTORY))
    return fail(ErrorCode::refused,
                "a package's build moved the directory of the new environment or put something else in its place; do not trust its author");
  return {};
}

Result<void> Workshop::hand_over(const std::string& directory) {
  // What a build made lies here. Its names are taken from the directory that was opened before, wherever its path leads by now.
  TRY(check_names());
  const int tree = tree_fd_.get();
  constexpr const char* kMove = "move the new environment into the store";
  TRY_ASSIGN(const UniqueFd target, open_file(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  if (const auto mode = change_mode(tree, 0755); !mode) return fail_errno(kMove, mode.error());
  // uv's lock of the environment is of no use to anybody later.
  ::unlinkat(tree, ".lock", 0);
  if (const auto moved = move_entries(tree, target.get()); !moved) return fail_errno(kMove, moved.error());
  return {};
}

}  // namespace casemate
