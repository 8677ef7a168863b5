#include "image/file_tree.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "base/units.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::uint64_t kMostBytes = 64ull << 30;  // of all files of a layer, holes included
constexpr std::int64_t kSecond = 1'000'000'000;

timespec time_of(std::int64_t nanoseconds) {
  const std::int64_t rest = ((nanoseconds % kSecond) + kSecond) % kSecond;
  return {static_cast<time_t>((nanoseconds - rest) / kSecond), static_cast<long>(rest)};
}

int write_fully(int fd, std::string_view bytes, off_t at) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(put));
    at += put;
  }
  return 0;
}

struct Bytes {
  std::uint64_t size = 0;
  int read_error = 0;
  int write_error = 0;
};

// Digests `from`, and writes what was read to the new file `to` (-1: none). Where the file has holes, pieces of nothing but zeros become
// some.
Bytes read_through(int from, int to, bool sparse, std::uint64_t limit, Sha256& hash) {
  static thread_local std::string buffer(256 << 10, '\0');
  Bytes done;
  for (;;) {
    const ssize_t got = ::pread(from, buffer.data(), buffer.size(), static_cast<off_t>(done.size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) done.read_error = errno;
    if (got <= 0) break;
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
    hash.update(piece);
    const bool zeros = sparse && piece.find_first_not_of('\0') == std::string_view::npos;
    if (to >= 0 && !zeros) done.write_error = write_fully(to, piece, static_cast<off_t>(done.size));
    done.size += piece.size();
    if (done.write_error != 0) return done;
    if (done.size > limit) done.read_error = EFBIG;
    if (done.read_error != 0) return done;
    // Nearly all files end with their first piece; one read less for them.
    struct stat info{};
    if (piece.size() < buffer.size() && ::fstat(from, &info) == 0 && static_cast<std::uint64_t>(info.st_size) == done.size) break;
  }
  if (to >= 0 && sparse && ::ftruncate(to, static_cast<off_t>(done.size)) < 0) done.write_error = errno;
  return done;
}

std::unexpected<Error> fail_read(const ListedFile& file, const std::string& label, int errno_value) {
  if (errno_value == EFBIG) {
    return fail(ErrorCode::exhausted, fmt::format("{}: {}: a layer can hold {} of files and no more; exclude it or mount it", label,
                                                  printable_line(file.source), format_bytes(kMostBytes)));
  }
  return fail(ErrorCode::refused, fmt::format("{}: {}: can't be read: {}", label, printable_line(file.source), std::strerror(errno_value)),
              errno_value);
}

// An open source, looked at.
struct Source {
  UniqueFd fd;
  struct stat info{};
  timespec opened{};
};

// nullopt: it is gone.
Result<std::optional<Source>> open_source(const ListedFile& file, const std::string& label) {
  Source source;
  ::clock_gettime(CLOCK_REALTIME_COARSE, &source.opened);
  source.fd.reset(::open(file.source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!source.fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!source.fd) return fail_read(file, label, errno);
  if (::fstat(source.fd.get(), &source.info) < 0) return fail_read(file, label, errno);
  if (!S_ISREG(source.info.st_mode))
    return fail(ErrorCode::refused, fmt::format("{}: {}: changed into something else; try again", label, printable_line(file.source)));
  return source;
}

FileRead judged(const Source& source, Sha256& hash) {
  FileRead read{.digest = hash.hex(), .stamp = stamp_of(source.info)};
  struct stat after{};
  read.unchanged = ::fstat(source.fd.get(), &after) == 0 && stamp_of(after) == read.stamp && is_settled(read.stamp, source.opened);
  return read;
}

}  // namespace

Result<FileRead> read_listed_file(const ListedFile& file, const std::string& label) {
  TRY_ASSIGN(const std::optional<Source> source, open_source(file, label));
  if (!source) return FileRead{.gone = true};
  Sha256 hash;
  const Bytes done = read_through(source->fd.get(), -1, false, kMostBytes, hash);
  if (done.read_error != 0) return fail_read(file, label, done.read_error);
  return judged(*source, hash);
}

Result<FileTree> FileTree::open(const std::string& directory, std::string label) {
  TRY_ASSIGN(UniqueFd top, open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return FileTree(std::move(top), std::move(label));
}

std::unexpected<Error> FileTree::problem(const std::string& path, int errno_value) const {
  const bool full = errno_value == ENOSPC || errno_value == EDQUOT;
  return fail(full ? ErrorCode::exhausted : ErrorCode::system,
              fmt::format("{}: can't put {} into casemate's cache directory: {}{}", label_, printable_line(path),
                          std::strerror(errno_value), full ? "; free some space or point CASEMATE_CACHE_DIR elsewhere" : ""),
              errno_value);
}

Result<int> FileTree::parent_of(const std::string& path, std::string& name) {
  const std::size_t slash = path.rfind('/');
  name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (slash == std::string::npos) return top_.get();
  if (!parent_fd_ || path.compare(0, slash, parent_) != 0) {
    parent_ = path.substr(0, slash);
    auto opened = make_directories_beneath(top_.get(), parent_, 0700);
    if (!opened) return problem(path, opened.error());
    parent_fd_ = std::move(*opened);
  }
  return parent_fd_.get();
}

Result<FileRead> FileTree::add_file(const ListedFile& file) {
  std::string name;
  TRY_ASSIGN(const int parent, parent_of(file.path, name));
  std::optional<Source> source;
  if (!file.source.empty()) {
    TRY_ASSIGN(source, open_source(file, label_));
    if (!source) return FileRead{.gone = true};
  }
  const UniqueFd target(::openat(parent, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target) return problem(file.path, errno);
  Sha256 hash;
  if (source) {
    const auto size = static_cast<std::uint64_t>(source->info.st_size);
    if (size > kMostBytes - std::min(bytes_, kMostBytes)) return fail_read(file, label_, EFBIG);
    const bool cloned = size > 0 && ::ioctl(target.get(), FICLONE, source->fd.get()) == 0;
    const bool sparse = static_cast<std::uint64_t>(source->info.st_blocks) * 512 < size;
    const Bytes done = cloned ? read_through(target.get(), -1, false, kMostBytes, hash)
                              : read_through(source->fd.get(), target.get(), sparse, kMostBytes - bytes_, hash);
    if (done.read_error != 0) return fail_read(file, label_, done.read_error);
    if (done.write_error != 0) return problem(file.path, done.write_error);
    bytes_ += done.size;
  }
  if (::fchmod(target.get(), file.mode & 0777) < 0) return problem(file.path, errno);
  const timespec time = source ? source->info.st_mtim : time_of(file.modified);
  const timespec times[2] = {time, time};
  if (::futimens(target.get(), times) < 0 && errno != EINVAL) return problem(file.path, errno);  // EINVAL: beyond what the disk can say
  if (!source) return FileRead{.digest = hash.hex()};
  return judged(*source, hash);
}

Result<void> FileTree::add(const ListedFile& file) {
  std::string name;
  TRY_ASSIGN(const int parent, parent_of(file.path, name));
  if (file.type == ListedFile::Type::directory) {
    if (::mkdirat(parent, name.c_str(), 0700) < 0 && errno != EEXIST) return problem(file.path, errno);
    return {};
  }
  if (::symlinkat(file.target.c_str(), parent, name.c_str()) < 0) return problem(file.path, errno);
  const timespec time = time_of(file.modified);
  const timespec times[2] = {time, time};
  ::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW);  // nobody relies on a link's time
  return {};
}

Result<void> FileTree::add_whiteout(const std::string& path) {
  std::string name;
  TRY_ASSIGN(const int parent, parent_of(path, name));
  if (::mknodat(parent, name.c_str(), S_IFCHR, makedev(0, 0)) == 0) return {};
  if (errno == ENOSPC || errno == EDQUOT) return problem(path, errno);
  return fail(ErrorCode::not_supported,
              fmt::format("{}: can't make a whiteout for {}: {}", label_, printable_line(path), std::strerror(errno)), errno);
}

Result<void> FileTree::move_to(const std::string& directory, const std::vector<ListedFile>& files) {
  TRY_ASSIGN(const UniqueFd target, open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  parent_fd_.reset();
  if (const auto moved = move_entries(top_.get(), target.get()); !moved) return problem(directory, moved.error());
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    if (file->type != ListedFile::Type::directory) continue;
    const auto made = open_beneath(target.get(), file->path, O_PATH | O_DIRECTORY);
    if (!made && made.error() == ENOENT) continue;  // not in this part
    if (!made) return problem(file->path, made.error());
    const timespec time = time_of(file->modified);
    const timespec times[2] = {time, time};
    ::utimensat(AT_FDCWD, fmt::format("/proc/self/fd/{}", made->get()).c_str(), times, 0);
    if (const auto changed = change_mode(made->get(), file->mode); !changed) return problem(file->path, changed.error());
  }
  return {};
}

}  // namespace casemate
