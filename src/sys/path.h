// path: the only place that walks paths which a job, or anybody else we do not trust, may have made.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// A value or an errno: for calls whose failure is an everyday answer that the caller words itself.
template <class T>
using Attempt = std::expected<T, int>;

/// openat2(2) below `directory` with RESOLVE_BENEATH | NO_SYMLINKS | NO_MAGICLINKS | NO_XDEV, and O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
/// O_NOCTTY added to `flags`: no symlink is followed in any part, no mount point is crossed, a FIFO does not block. ELOOP: a symlink was in
/// the way; EXDEV: a mount point, or the path led out. Linux 5.6.
[[nodiscard]] Attempt<UniqueFd> open_beneath(int directory, const std::string& path, int flags, unsigned mode = 0);

/// lstat(2) of one `name` in `directory`.
[[nodiscard]] Attempt<struct stat> stat_beneath(int directory, const std::string& name);

/// chmod(2) of what `fd` refers to; O_PATH fds too (fchmodat2 of Linux 6.6, else by /proc/self/fd).
[[nodiscard]] Attempt<void> change_mode(int fd, unsigned mode);

/// open_beneath() of a regular file or directory that we may own without being allowed to read it (mode 000, no CAP_DAC_OVERRIDE): on
/// EACCES `bits` are added to its mode and it is tried again. The mode stays changed; what is neither file nor directory is never touched.
[[nodiscard]] Attempt<UniqueFd> open_despite_mode(int directory, const std::string& name, int flags, unsigned bits);

/// The target of symlink `name`, at most 4,095 bytes.
[[nodiscard]] Attempt<std::string> read_link_beneath(int directory, const std::string& name);

/// The value of an extended attribute of an open file, "" where there is none or it can't be read; values above 255 bytes count as none.
[[nodiscard]] std::string extended_attribute(int fd, const char* name);

/// True if an open file has the extended attribute, with whatever value, and we may see it.
[[nodiscard]] bool has_extended_attribute(int fd, const char* name);

/// Makes the directories of the relative `path` that are missing below `directory` (mode & ~umask) and opens the last one with O_PATH. A
/// symlink, a file or ".." on the way is an error, not a detour. "" and "." are `directory` itself.
[[nodiscard]] Attempt<UniqueFd> make_directories_beneath(int directory, std::string_view path, unsigned mode = 0777);

/// Makes the new regular file `path`, whose directory exists, for writing; EEXIST if anything has the name, a dangling symlink too.
[[nodiscard]] Attempt<UniqueFd> make_file_beneath(int directory, const std::string& path, unsigned mode = 0666);

/// One entry of a directory. `name` is valid until the reader moves on.
struct DirectoryEntry {
  std::string_view name;
  unsigned char type;   ///< DT_*: a hint, DT_UNKNOWN on some filesystems
  std::int64_t resume;  ///< lseek(2) here goes on after this entry
};

/// Reads a directory entry by entry in bounded memory (getdents64), from the fd's current offset; "." and ".." are left out.
class DirectoryReader {
 public:
  /// `fd` is borrowed, and must be open for reading (not O_PATH).
  explicit DirectoryReader(int fd);
  /// The next entry, nullopt at the end.
  [[nodiscard]] Attempt<std::optional<DirectoryEntry>> next();

 private:
  int fd_;
  std::size_t used_ = 0;
  std::size_t filled_ = 0;
  std::vector<char> buffer_;
};

/// Calls `visit(name, lstat)` for each entry of an open directory, from its current offset; the first errno that a call gives or that it
/// gives itself ends it. `visit` may change what it is given; what it adds to the directory may be visited too.
template <class Visit>
[[nodiscard]] Attempt<void> for_each_entry(int directory, Visit visit) {
  DirectoryReader reader(directory);
  for (;;) {
    const auto entry = reader.next();
    if (!entry) return std::unexpected(entry.error());
    if (!*entry) return {};
    const std::string name((*entry)->name);
    const auto info = stat_beneath(directory, name);
    if (!info) return std::unexpected(info.error());
    if (Attempt<void> visited = visit(name, *info); !visited) return visited;
  }
}

/// Renames all that is in the open directory `from` into `to`, on the same file system and never over what is there.
[[nodiscard]] Attempt<void> move_entries(int from, int to);

/// A place in an untrusted tree and the way back up. Holds one fd however deep it is, and no C stack: trees of any depth, with paths beyond
/// PATH_MAX, can be walked. Never follows a symlink and never crosses a mount point.
class TreePosition {
 public:
  /// Starts at the directory `root` (borrowed; O_PATH will do). `need` are permission bits, 0500 or 0700, which each entered directory of
  /// ours gets while we are inside. ENOTDIR if it is none.
  static Attempt<TreePosition> start(int root, unsigned need);
  TreePosition(TreePosition&&) = default;
  TreePosition& operator=(TreePosition&&) = delete;
  /// Gives back the modes of the directories it still is inside.
  ~TreePosition();

  /// The current directory, open for reading; valid until the next move.
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// 0 at the root.
  [[nodiscard]] std::size_t depth() const { return above_.size(); }
  /// What the current directory was when it was entered; st_mode is from before `need`.
  [[nodiscard]] const struct stat& info() const { return here_; }
  /// Goes into the subdirectory `name`. ENOTDIR or ELOOP if it isn't one, EXDEV if something is mounted there.
  [[nodiscard]] Attempt<void> enter(const std::string& name);
  /// Back to the parent, giving this directory its mode back. ESTALE if the tree was moved meanwhile: then stop the walk.
  [[nodiscard]] Attempt<void> leave();

 private:
  TreePosition(UniqueFd fd, const struct stat& here, unsigned need) : fd_(std::move(fd)), here_(here), need_(need) {}
  void unlock();
  void relock();

  UniqueFd fd_;
  struct stat here_{};
  std::vector<struct stat> above_;
  unsigned need_;
};

/// Removes `name` in `directory` with all that is below: any depth, any number of entries, directories of mode 000 that we own; symlinks
/// are removed, never followed; mount points are not entered and stay, with all above them. Absent is success. On failure the rest is
/// removed all the same, and the error names the first path that stayed.
Result<void> remove_tree_at(int directory, const std::string& name);

}  // namespace casemate
