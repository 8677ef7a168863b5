#include "store/tree.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr int kMaxDepth = 256;        // of a tree that we take in: one descriptor a level while we walk it
constexpr int kRemovalDepth = 64;     // deeper directories are first moved to the top of what is being removed
constexpr std::size_t kBatch = 4096;  // names read before they are removed

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

struct Name {
  std::string name;
  unsigned char type = DT_UNKNOWN;
};

// The names in an open directory, at most `limit`, without "." and "..". Takes a duplicate: `fd` stays open and its offset is used up.
Result<std::vector<Name>> read_names(int fd, const std::string& shown, std::size_t limit) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail_errno("read the directory " + printable_name(shown));
  Directory directory(::fdopendir(copy));
  if (!directory) {
    const int error = errno;
    ::close(copy);
    return fail_errno("read the directory " + printable_name(shown), error);
  }
  ::rewinddir(directory.get());
  std::vector<Name> names;
  while (names.size() < limit) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (!entry && errno != 0) return fail_errno("read the directory " + printable_name(shown));
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.push_back({std::string(name), entry->d_type});
  }
  return names;
}

// Bytes that a file takes, for accounts: an 8 TiB hole must not empty the cache.
std::uint64_t weight(const struct stat& info) {
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const auto blocks = static_cast<std::uint64_t>(info.st_blocks) * 512;
  return blocks == 0 ? std::min<std::uint64_t>(size, 1u << 20) : std::min(size, blocks);  // no blocks: inline data, or not allocated yet
}

// Digest of a file's bytes by 64 KiB blocks that are not all zero, with their offsets: holes cost nothing and equal zeros.
Result<std::string> digest_file(int fd, off_t size, const std::string& shown) {
  constexpr off_t kBlock = 64 << 10;
  static const std::string zeros(kBlock, '\0');
  std::string block(kBlock, '\0');
  Sha256 hash;
  for (off_t offset = 0; offset < size;) {
    if (const off_t data = ::lseek(fd, offset, SEEK_DATA); data >= 0) {
      offset = std::max(offset, data / kBlock * kBlock);
    } else if (errno == ENXIO) {
      break;
    }
    std::size_t filled = 0;
    while (filled < static_cast<std::size_t>(kBlock)) {
      const ssize_t got = ::pread(fd, block.data() + filled, kBlock - filled, offset + static_cast<off_t>(filled));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read " + printable_name(shown));
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    if (filled == 0) break;
    if (std::memcmp(block.data(), zeros.data(), filled) != 0) {
      hash.update(fmt::format("@{} {}\n", offset, filled));
      hash.update(std::string_view(block.data(), filled));
    }
    offset += static_cast<off_t>(filled);
  }
  return hash.hex();
}

class Walk {
 public:
  Walk(std::string root, TreeDepth depth) : root_(std::move(root)), depth_(depth) {}

  Result<TreeSummary> run() {
    TRY_ASSIGN(UniqueFd fd, open_file(root_, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(directory(fd.get(), "", 1));
    summary_.digest = hash_.hex();
    return std::move(summary_);
  }

 private:
  Result<void> directory(int fd, const std::string& path, int level) {
    if (level > kMaxDepth)
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} has more than {} directories in each other: too deep to keep", printable_name(root_), kMaxDepth));
    TRY_ASSIGN(std::vector<Name> names, read_names(fd, root_ + "/" + path, SIZE_MAX));
    std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.name < b.name; });
    for (const Name& name : names) TRY(entry(fd, name.name, path.empty() ? name.name : path + "/" + name.name, level));
    return {};
  }

  Result<void> entry(int parent, const std::string& name, const std::string& path, int level) {
    struct stat info{};
    if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno("look at " + printable_name(root_ + "/" + path));
    hash_.update(path);
    hash_.update(std::string_view("\0", 1));
    std::string line = fmt::format("{:o}", info.st_mode);
    if (!S_ISDIR(info.st_mode)) ++summary_.files;
    if (S_ISDIR(info.st_mode)) {
      hash_.update(line + "\n");
      return enter(parent, name, path, level);
    }
    if (S_ISREG(info.st_mode)) {
      summary_.bytes += weight(info);
      line += fmt::format(" {}", info.st_size);
      if (depth_ == TreeDepth::metadata) line += fmt::format(" {}.{}", info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
      if (depth_ == TreeDepth::contents) {
        TRY_ASSIGN(const std::string digest, contents(parent, name, path, info.st_size));
        line += " " + digest;
      }
    } else if (S_ISLNK(info.st_mode)) {
      char target[PATH_MAX];
      const ssize_t length = ::readlinkat(parent, name.c_str(), target, sizeof target);
      if (length < 0) return fail_errno("read the link " + printable_name(root_ + "/" + path));
      line += fmt::format(" {} ", length);
      line.append(target, static_cast<std::size_t>(length));
    } else {
      line += fmt::format(" {}", info.st_rdev);
    }
    hash_.update(line + "\n");
    return {};
  }

  Result<void> enter(int parent, const std::string& name, const std::string& path, int level) {
    UniqueFd child(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child && errno == EACCES) {
      ++summary_.unreadable;
      return {};
    }
    if (!child) return fail_errno("open the directory " + printable_name(root_ + "/" + path));
    return directory(child.get(), path, level + 1);
  }

  Result<std::string> contents(int parent, const std::string& name, const std::string& path, off_t size) {
    const UniqueFd file(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && errno == EACCES) {
      ++summary_.unreadable;
      return "-";
    }
    if (!file) return fail_errno("open " + printable_name(root_ + "/" + path));
    return digest_file(file.get(), size, root_ + "/" + path);
  }

  std::string root_;
  TreeDepth depth_;
  Sha256 hash_;
  TreeSummary summary_;
};

class Removal {
 public:
  explicit Removal(std::string root) : root_(std::move(root)) {}

  Result<void> run() {
    if (::unlink(root_.c_str()) == 0 || errno == ENOENT) return {};
    top_ = open_directory(AT_FDCWD, root_);
    if (!top_) return fail_errno("remove " + printable_name(root_));
    empty(top_.get(), root_, 0);
    if (::rmdir(root_.c_str()) < 0 && errno != ENOENT) note(root_, errno);
    if (first_) return std::unexpected(*first_);
    return {};
  }

 private:
  // Opens a directory, giving ourselves the right to where only its mode forbids it.
  static UniqueFd open_directory(int parent, const std::string& name) {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd fd(::openat(parent, name.c_str(), kFlags));
    if (!fd && errno == EACCES && ::fchmodat(parent, name.c_str(), 0700, AT_SYMLINK_NOFOLLOW) == 0)
      fd.reset(::openat(parent, name.c_str(), kFlags));
    return fd;
  }

  void empty(int fd, const std::string& path, int level) {
    bool progress = true;
    bool opened = false;  // we have given ourselves write permission here
    while (progress) {
      auto names = read_names(fd, path, kBatch);
      if (!names) {
        if (!first_) first_ = names.error();
        return;
      }
      progress = false;
      for (const Name& name : *names) {
        int error = remove_entry(fd, name, path, level);
        if (error == EACCES && !opened) {
          opened = true;
          if (::fchmod(fd, 0700) == 0) error = remove_entry(fd, name, path, level);
        }
        if (error == 0)
          progress = true;
        else
          note(path + "/" + name.name, error);
      }
    }
  }

  // 0 or an errno.
  int remove_entry(int parent, const Name& name, const std::string& path, int level) {
    if (name.type != DT_DIR) {
      if (::unlinkat(parent, name.name.c_str(), 0) == 0 || errno == ENOENT) return 0;
      if (errno != EISDIR) return errno;
    }
    if (::unlinkat(parent, name.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST) return errno;
    const UniqueFd child = open_directory(parent, name.name);
    if (!child) return errno == ENOENT ? 0 : errno;  // another sweeper is at it too
    if (level >= kRemovalDepth) return lift(parent, name.name, child.get());
    empty(child.get(), path + "/" + name.name, level + 1);
    return ::unlinkat(parent, name.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
  }

  // A hostile tree can be deeper than we have descriptors or stack: move the deep part to the top, where it will be met again.
  int lift(int parent, const std::string& name, int child) {
    for (;;) {
      const std::string fresh = fmt::format(".deep.{}", ++lifted_);
      if (::renameat2(parent, name.c_str(), top_.get(), fresh.c_str(), RENAME_NOREPLACE) == 0) return 0;
      if (errno == EACCES && ::fchmod(child, 0700) == 0 && ::fchmod(top_.get(), 0700) == 0 && ::fchmod(parent, 0700) == 0 &&
          ::renameat2(parent, name.c_str(), top_.get(), fresh.c_str(), RENAME_NOREPLACE) == 0)
        return 0;
      if (errno != EEXIST) return errno;
    }
  }

  void note(const std::string& path, int error) {
    if (!first_) first_ = fail_errno("remove " + printable_name(path), error).error();
  }

  std::string root_;
  UniqueFd top_;
  std::uint64_t lifted_ = 0;
  std::optional<Error> first_;
};

}  // namespace

Result<TreeSummary> summarize_tree(const std::string& path, TreeDepth depth) { return Walk(path, depth).run(); }

Result<void> remove_tree(const std::string& path) { return Removal(path).run(); }

}  // namespace casemate
