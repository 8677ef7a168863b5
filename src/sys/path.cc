#include "sys/path.h"

#include <climits>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/terminal.h"

namespace casemate {
namespace {

#ifndef SYS_fchmodat2
constexpr long kFchmodat2 = 452;  // the same number on every architecture
#else
constexpr long kFchmodat2 = SYS_fchmodat2;
#endif

constexpr int kSafeFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

Attempt<UniqueFd> openat2_retrying(int directory, const char* path, int flags, unsigned mode, std::uint64_t resolve) {
  open_how how{};
  // openat2 refuses flags that O_PATH would ignore, where openat did not mind.
  how.flags = static_cast<std::uint64_t>((flags & O_PATH) ? (flags | O_CLOEXEC | O_NOFOLLOW) : (flags | kSafeFlags));
  how.mode = (flags & O_CREAT) ? mode : 0;
  how.resolve = resolve;
  for (int tries = 0;; ++tries) {
    const long fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno == EINTR || (errno == EAGAIN && tries < 32)) continue;  // EAGAIN: something was renamed while the kernel looked
    return std::unexpected(errno);
  }
}

bool same_file(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

Attempt<struct stat> stat_fd(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) < 0) return std::unexpected(errno);
  return info;
}

}  // namespace

Attempt<UniqueFd> open_beneath(int directory, const std::string& path, int flags, unsigned mode) {
  return openat2_retrying(directory, path.c_str(), flags, mode,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

Attempt<struct stat> stat_beneath(int directory, const std::string& name) {
  struct stat info{};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) return std::unexpected(errno);
  return info;
}

Attempt<void> change_mode(int fd, unsigned mode) {
  if (::fchmod(fd, mode) == 0) return {};
  if (errno != EBADF) return std::unexpected(errno);  // EBADF: an O_PATH fd
  if (::syscall(kFchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) return {};
  if (errno != ENOSYS && errno != EPERM) return std::unexpected(errno);  // EPERM: a container's filter that does not know the call
  if (::chmod(fmt::format("/proc/self/fd/{}", fd).c_str(), mode) == 0) return {};
  return std::unexpected(errno);
}

Attempt<UniqueFd> open_despite_mode(int directory, const std::string& name, int flags, unsigned bits) {
  auto opened = open_beneath(directory, name, flags);
  if (opened || opened.error() != EACCES) return opened;
  const auto place = open_beneath(directory, name, O_PATH);
  if (!place) return std::unexpected(EACCES);
  const auto info = stat_fd(place->get());
  if (!info || (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode))) return std::unexpected(EACCES);
  if (!change_mode(place->get(), (info->st_mode & 07777) | bits)) return std::unexpected(EACCES);
  return open_beneath(directory, name, flags);
}

Attempt<std::string> read_link_beneath(int directory, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(directory, name.c_str(), target, sizeof target);
  if (length < 0) return std::unexpected(errno);
  return std::string(target, static_cast<std::size_t>(length));
}

std::string extended_attribute(int fd, const char* name) {
  char value[256];
  const ssize_t length = ::fgetxattr(fd, name, value, sizeof value);
  return length > 0 ? std::string(value, static_cast<std::size_t>(length)) : std::string();
}

bool has_extended_attribute(int fd, const char* name) { return ::fgetxattr(fd, name, nullptr, 0) >= 0; }

Attempt<UniqueFd> make_directories_beneath(int directory, std::string_view path, unsigned mode) {
  auto here = open_beneath(directory, ".", O_PATH | O_DIRECTORY);
  while (here && !path.empty()) {
    const auto slash = path.find('/');
    const std::string part(path.substr(0, slash));
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") return std::unexpected(EXDEV);
    auto next = open_beneath(here->get(), part, O_PATH | O_DIRECTORY);
    if (!next && next.error() == ENOENT) {
      if (::mkdirat(here->get(), part.c_str(), mode) < 0 && errno != EEXIST) return std::unexpected(errno);
      next = open_beneath(here->get(), part, O_PATH | O_DIRECTORY);
    }
    here = std::move(next);
  }
  return here;
}

Attempt<UniqueFd> make_file_beneath(int directory, const std::string& path, unsigned mode) {
  return open_beneath(directory, path, O_WRONLY | O_CREAT | O_EXCL, mode);
}

// ---- reading a directory

DirectoryReader::DirectoryReader(int fd) : fd_(fd), buffer_(32 << 10) {}

Attempt<std::optional<DirectoryEntry>> DirectoryReader::next() {
  for (;;) {
    if (used_ == filled_) {
      const ssize_t got = ::getdents64(fd_, buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::unexpected(errno);
      if (got == 0) return std::optional<DirectoryEntry>();
      used_ = 0;
      filled_ = static_cast<std::size_t>(got);
    }
    const auto* entry = reinterpret_cast<const dirent64*>(buffer_.data() + used_);
    used_ += entry->d_reclen;
    const std::string_view name(entry->d_name);
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos) continue;
    return DirectoryEntry{name, entry->d_type, entry->d_off};
  }
}

// ---- a place in a tree

Attempt<TreePosition> TreePosition::start(int root, unsigned need) {
  const auto before = stat_fd(root);
  if (!before) return std::unexpected(before.error());
  if (!S_ISDIR(before->st_mode)) return std::unexpected(ENOTDIR);
  // A new open file: the caller's fd may be O_PATH, and its offset is the caller's.
  auto fd = open_beneath(root, ".", O_RDONLY | O_DIRECTORY);
  if (!fd && fd.error() == EACCES && change_mode(root, (before->st_mode & 07777) | need))
    fd = open_beneath(root, ".", O_RDONLY | O_DIRECTORY);
  if (!fd) return std::unexpected(fd.error());
  TreePosition position(std::move(*fd), *before, need);
  position.unlock();
  return position;
}

TreePosition::~TreePosition() {
  while (fd_ && !above_.empty()) {
    if (!leave()) return;
  }
  if (fd_) relock();
}

void TreePosition::unlock() {
  if ((here_.st_mode & need_) != need_) (void)change_mode(fd_.get(), (here_.st_mode & 07777) | need_);
}

void TreePosition::relock() {
  if ((here_.st_mode & need_) != need_) (void)change_mode(fd_.get(), here_.st_mode & 07777);
}

Attempt<void> TreePosition::enter(const std::string& name) {
  std::optional<unsigned> mode_before;
  auto below = open_beneath(fd_.get(), name, O_RDONLY | O_DIRECTORY);
  if (!below && below.error() == EACCES) {
    const auto before = stat_beneath(fd_.get(), name);
    if (!before) return std::unexpected(before.error());
    mode_before = before->st_mode;
    below = open_despite_mode(fd_.get(), name, O_RDONLY | O_DIRECTORY, need_);
  }
  if (!below) return std::unexpected(below.error());
  auto info = stat_fd(below->get());
  if (!info) return std::unexpected(info.error());
  if (mode_before) info->st_mode = *mode_before;
  above_.push_back(here_);
  here_ = *info;
  fd_ = std::move(*below);
  unlock();
  return {};
}

Attempt<void> TreePosition::leave() {
  if (above_.empty()) return std::unexpected(EXDEV);
  auto parent = openat2_retrying(fd_.get(), "..", O_RDONLY | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  if (!parent) return std::unexpected(parent.error());
  const auto info = stat_fd(parent->get());
  if (!info) return std::unexpected(info.error());
  if (!same_file(*info, above_.back())) return std::unexpected(ESTALE);
  relock();
  here_ = above_.back();
  above_.pop_back();
  fd_ = std::move(*parent);
  return {};
}

// ---- removing a tree

namespace {

// Empties directories from the bottom up. A frame holds only a batch of its subdirectories' names, so memory is bounded by the number of
// directories.
class TreeRemover {
 public:
  explicit TreeRemover(TreePosition position) : position_(std::move(position)) {}

  // Empties the start directory as far as it can be.
  void run() {
    frames_.emplace_back();
    read_batch();
    while (!frames_.empty() && !lost_) step();
  }

  // 0 if all is gone; else the errno and path, below the start, of the first thing that stayed.
  [[nodiscard]] int problem() const { return problem_; }
  [[nodiscard]] const std::string& problem_path() const { return problem_path_; }

 private:
  static constexpr std::size_t kBatch = 256;

  struct Frame {
    std::string name;
    std::vector<std::string> directories;
    std::int64_t resume = 0;
    bool at_end = false;
    bool progress = false;
  };

  void step() {
    Frame& frame = frames_.back();
    if (!frame.directories.empty()) {
      descend();
    } else if (!frame.at_end) {
      read_batch();
    } else if (frame.progress) {
      // Removing while reading makes some filesystems skip entries: read again until a pass finds nothing more to remove.
      frame.progress = false;
      frame.at_end = false;
      frame.resume = 0;
      read_batch();
    } else {
      ascend();
    }
  }

  void read_batch() {
    Frame& frame = frames_.back();
    if (::lseek(position_.fd(), frame.resume, SEEK_SET) < 0) {
      frame.at_end = true;
      return note(errno, "");
    }
    DirectoryReader reader(position_.fd());
    while (frame.directories.size() < kBatch) {
      auto entry = reader.next();
      if (!entry) note(entry.error(), "");
      if (!entry || !*entry) {
        frame.at_end = true;
        return;
      }
      frame.resume = (*entry)->resume;
      const std::string name((*entry)->name);
      if ((*entry)->type != DT_DIR) {
        if (::unlinkat(position_.fd(), name.c_str(), 0) == 0) {
          frame.progress = true;
          continue;
        }
        if (errno == ENOENT) continue;
        if (errno != EISDIR) {
          note(errno, name);
          continue;
        }
      }
      frame.directories.push_back(name);
    }
  }

  void descend() {
    Frame& frame = frames_.back();
    const std::string name = std::move(frame.directories.back());
    frame.directories.pop_back();
    if (::unlinkat(position_.fd(), name.c_str(), AT_REMOVEDIR) == 0) {
      frame.progress = true;
      return;
    }
    if (errno == ENOENT) return;
    if (errno != ENOTEMPTY && errno != EEXIST) return note(errno, name);
    if (auto entered = position_.enter(name); !entered) return note(entered.error(), name);
    frames_.push_back(Frame{.name = name});
    read_batch();
  }

  void ascend() {
    const std::string name = std::move(frames_.back().name);
    if (frames_.size() > 1) {
      if (auto left = position_.leave(); !left) {
        note(left.error(), "");
        lost_ = true;
        return;
      }
    }
    frames_.pop_back();
    if (frames_.empty()) return;
    if (::unlinkat(position_.fd(), name.c_str(), AT_REMOVEDIR) == 0) {
      frames_.back().progress = true;
    } else if (errno != ENOENT) {
      note(errno, name);
    }
  }

  void note(int errno_value, const std::string& name) {
    if (problem_ != 0) return;
    problem_ = errno_value;
    constexpr std::size_t kEnough = 1024;  // of a path whose length the job chose
    for (std::size_t i = 1; i < frames_.size() && problem_path_.size() < kEnough; ++i) problem_path_ += "/" + frames_[i].name;
    if (!name.empty()) problem_path_ += "/" + name;
  }

  TreePosition position_;
  std::vector<Frame> frames_;
  int problem_ = 0;
  std::string problem_path_;
  bool lost_ = false;
};

std::unexpected<Error> stayed(const std::string& path, int errno_value) {
  const bool mounted = errno_value == EXDEV || errno_value == EBUSY;
  auto failure = fail_errno("remove " + printable_name(path), errno_value);
  if (mounted) failure.error().what += " (something is mounted there)";
  return failure;
}

}  // namespace

Attempt<void> move_entries(int from, int to) {
  // Entries that go while a directory is read may hide others: until a look finds none.
  for (bool moved = true; moved;) {
    moved = false;
    if (::lseek(from, 0, SEEK_SET) < 0) return std::unexpected(errno);
    DirectoryReader reader(from);
    for (;;) {
      const auto entry = reader.next();
      if (!entry) return std::unexpected(entry.error());
      if (!*entry) break;
      const std::string name((*entry)->name);
      if (::renameat2(from, name.c_str(), to, name.c_str(), RENAME_NOREPLACE) < 0) return std::unexpected(errno);
      moved = true;
    }
  }
  return {};
}

Result<void> remove_tree_at(int directory, const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    return fail(ErrorCode::internal, fmt::format("remove_tree_at takes one name, not '{}'", printable_name(name)));
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return stayed(name, errno);
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return stayed(name, errno);
  auto top = open_beneath(directory, name, O_PATH | O_DIRECTORY);
  if (!top) return stayed(name, top.error());
  auto position = TreePosition::start(top->get(), 0700);
  if (!position) return stayed(name, position.error());
  TreeRemover remover(std::move(*position));
  remover.run();
  if (remover.problem() != 0) return stayed(name + remover.problem_path(), remover.problem());
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) return stayed(name, errno);
  return {};
}

}  // namespace casemate
