// Theory of operation. Everything under the store's directory is reached by three moves, each safe against SIGKILL at any moment and
// against other processes and threads doing the same:
//
// Publish: fill a temp directory (tmp/<name>/), then rename(2) it, or the file in it, to the entry's path. What is at an entry's path is
// whole. Lease:   take the entry's lock file shared, look whether the entry is there, keep the lock for as long as it is used. Remove: take
// the lock file exclusively without waiting (somebody holds it: leave the entry alone), rename the entry into tmp/, unlink the lock
//          file, release, then delete at leisure.
//
// Locks are OFD locks (F_OFD_SETLK) on files in locks/, one a key, empty, two bytes locked apart:
//   byte 0, "use":  shared by leases; exclusive by a remover.
//   byte 1, "make": exclusive by who makes a layer, for as long as that takes. Readers don't look at it, so nobody who wants a layer that
//   is not there
//                   is held up. The maker takes "use" shared before its rename, so that there is no moment at which its layer could be
//                   evicted.
// Order: make before use; removers take both, never waiting: no deadlock. A description's locks end when its last descriptor is closed: a
// killed process holds nothing, but a child that it forked does until it closes or execs (all are O_CLOEXEC).
//
// A lock file is unlinked only by who holds both bytes exclusively, and whoever gets a lock then looks whether the path still names the
// file that it locked (LockFile::current()) and else starts again: two holders of "the" lock of a key always hold the same inode.
//
// Temp directories: tmp/<name>.lock is made and locked first, then tmp/<name>/ is made; open() removes each pair whose lock it gets, and
// names without a lock file: removed entries on their way out. So liveness is a lock, never a pid, which other containers count
// differently. tmp/stuck.<name> is what could not be removed (another owner's files): only prune() tries again.
//
// Survey: a layer is of use before its files have been counted: its meta.json is completed (size, manifest) by a thread that ~Store joins,
// and by the next user if that was killed. Until then it weighs nothing and is trusted in this boot only.
//
// The count in `usage` is a hint for when to evict; entries themselves are the truth, and eviction counts them. Foreign files are ignored
// everywhere.
#include "store/store.h"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/directories.h"
#include "base/units.h"
#include "store/parts.h"

namespace casemate {

std::string_view entry_word(EntryKind kind) { return kind == EntryKind::blob ? "blob" : "layer"; }

std::string boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

std::string Store::Parts::blob_path(std::string_view hex) const {
  return fmt::format("{}/blobs/sha256/{}/{}", place.directory, hex.substr(0, 2), hex.substr(2));
}

std::string Store::Parts::entry_path(EntryKind kind, std::string_view hex) const {
  return kind == EntryKind::blob ? blob_path(hex) : fmt::format("{}/layers/{}", place.directory, hex);
}

std::string Store::Parts::lock_path(EntryKind kind, std::string_view hex) const {
  return fmt::format("{}/locks/{}-{}", place.directory, entry_word(kind), hex);
}

Result<LockFile> Store::Parts::open_lock(EntryKind kind, std::string_view hex) const {
  const std::string path = lock_path(kind, hex);
  auto lock = LockFile::open(path, true);
  if (!lock && lock.error().errno_value == ENOENT) {
    const std::string directory = place.directory + "/locks";
    if (::mkdir(directory.c_str(), 0700) < 0 && errno != EEXIST) return place.failure("make the directory " + directory, errno);
    lock = LockFile::open(path, true);
  }
  if (!lock) return place.failure("open the lock " + path, lock.error().errno_value);
  return lock;
}

Result<std::optional<LockFile>> Store::Parts::lock_entry(EntryKind kind, std::string_view hex) const {
  const std::string path = entry_path(kind, hex);
  struct stat info{};
  for (;;) {
    if (::lstat(path.c_str(), &info) < 0) {  // before the lock file is made: asking for what is not there leaves no trace
      if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
      return place.failure("look at " + path, errno);
    }
    TRY_ASSIGN(LockFile lock, open_lock(kind, hex));
    TRY(lock.lock(LockFile::Part::use, LockFile::Mode::shared));
    if (lock.current() && ::lstat(path.c_str(), &info) == 0) return lock;
  }
}

namespace {

Result<std::uint64_t> size_limit(std::uint64_t otherwise) {
  const char* text = std::getenv("CASEMATE_CACHE_SIZE");
  if (!text || !*text) return otherwise;
  auto bytes = parse_bytes(text);
  if (!bytes) return fail(ErrorCode::invalid_input, "CASEMATE_CACHE_SIZE: " + bytes.error().what);
  return bytes;
}

}  // namespace

Result<Store> Store::open(const Options& options) {
  auto parts = std::make_unique<Parts>();
  TRY_ASSIGN(parts->max_bytes, size_limit(options.max_bytes));
  TRY_ASSIGN(const std::string directory, absolute_path(options.directory.empty() ? cache_directory() : options.directory));
  parts->place = Place{directory, "CASEMATE_CACHE_DIR"};
  TRY(parts->place.make());
  parts->sweep();
  return Store(std::move(parts));
}

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

const std::string& Store::directory() const { return parts_->place.directory; }
std::uint64_t Store::max_bytes() const { return parts_->max_bytes; }
Result<std::unique_ptr<StoreTemp>> Store::make_temp() { return parts_->make_temp(); }
Result<std::vector<StoreEntry>> Store::entries() const {
  parts_->finish_surveys();
  return parts_->entries(true);
}

}  // namespace casemate
