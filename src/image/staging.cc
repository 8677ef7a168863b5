#include "image/staging.h"

#include <climits>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr int kDeepest = 256;  // levels of an input directory; each holds two descriptors while it is copied

std::unexpected<Error> fail_copy(const std::string& path, int errno_value) {
  const bool full = errno_value == ENOSPC || errno_value == EDQUOT;
  return fail(full ? ErrorCode::exhausted : ErrorCode::system,
              fmt::format("can't copy {} into casemate's cache directory: {}{}", printable_name(path), std::strerror(errno_value),
                          full ? "; free some space or point CASEMATE_CACHE_DIR elsewhere" : ""),
              errno_value);
}

// The last part of a path as a name in /app; "." and "dir/.." become the name of what they are.
std::string base_name(const std::string& path) {
  std::string text = path;
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  std::string name = text.substr(text.rfind('/') + 1);
  if (name.empty() || name == "." || name == "..") {
    char real[PATH_MAX];
    if (!::realpath(path.c_str(), real)) return "";
    text = real;
    name = text.substr(text.rfind('/') + 1);
  }
  return name;
}

// Bytes [from, to) of one file into the same place of another; 0 or an errno.
int copy_range(int source, int target, off_t from, off_t to) {
  std::string buffer;
  bool by_kernel = true;
  while (from < to) {
    if (by_kernel) {
      off_t in = from;
      off_t out = from;
      const ssize_t moved = ::copy_file_range(source, &in, target, &out, static_cast<std::size_t>(to - from), 0);
      if (moved > 0) {
        from += moved;
        continue;
      }
      if (moved == 0) return 0;  // the file got shorter
      if (errno == EINTR) continue;
      if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) return errno;
      by_kernel = false;
      buffer.resize(256 << 10);
    }
    const ssize_t got = ::pread(source, buffer.data(), std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(to - from)), from);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::pwrite(target, buffer.data() + done, static_cast<std::size_t>(got - done), from + done);
      if (put < 0 && errno != EINTR) return errno;
      if (put > 0) done += put;
    }
    from += got;
  }
  return 0;
}

// All of `source` into the new, empty `target`; 0 or an errno.
int copy_file(int source, int target, off_t size) {
  if (::ioctl(target, FICLONE, source) == 0) return 0;
  if (::ftruncate(target, size) < 0) return errno;
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(source, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return 0;  // only a hole is left
    const off_t from = data < 0 ? at : data;   // no such seek on this file system: all is data
    const off_t hole = data < 0 ? size : ::lseek(source, from, SEEK_HOLE);
    const off_t to = hole < 0 ? size : hole;
    if (const int problem = copy_range(source, target, from, to)) return problem;
    at = to;
  }
  return 0;
}

}  // namespace

std::unexpected<Error> fail_named_file(ErrorCode code, std::string_view option, const std::string& path, std::string_view what,
                                       int errno_value) {
  return fail(code, fmt::format("{} {}: {}", option, printable_name(path), what), errno_value);
}

std::unexpected<Error> fail_named_file(std::string_view option, const std::string& path, int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      return fail_named_file(ErrorCode::not_found, option, path, "no such file", errno_value);
    case EACCES:
    case EPERM:
      return fail_named_file(ErrorCode::not_found, option, path, "can't be read: permission denied", errno_value);
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV:
    case EIO:
      return fail_named_file(ErrorCode::not_found, option, path, fmt::format("can't be read: {}", std::strerror(errno_value)), errno_value);
    default:
      return fail_named_file(ErrorCode::system, option, path, fmt::format("can't be read: {}", std::strerror(errno_value)), errno_value);
  }
}

Result<Staging> Staging::create(const std::string& directory, std::string shown_at) {
  if (::mkdir(directory.c_str(), 0755) < 0) return fail_errno("make " + directory);
  TRY_ASSIGN(UniqueFd target, open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return Staging(std::move(target), directory, std::move(shown_at));
}

Result<std::string> Staging::add(std::string_view option, const std::string& path, bool directory_allowed) {
  const int raw = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (raw < 0) return fail_named_file(option, path, errno);
  const UniqueFd source(raw);
  struct stat info{};
  if (::fstat(source.get(), &info) < 0) return fail_named_file(option, path, errno);
  const bool directory = S_ISDIR(info.st_mode);
  if (directory && !directory_allowed) return fail_named_file(ErrorCode::not_found, option, path, "is a directory, not a file");
  if (!directory && !S_ISREG(info.st_mode)) return fail_named_file(ErrorCode::not_found, option, path, "is not a regular file");
  std::string name = base_name(path);
  if (name.empty()) return fail_named_file(ErrorCode::invalid_input, option, path, "has no name of its own; name a directory below it");
  const auto [known, added] = named_.try_emplace(name, Named{path, info.st_dev, info.st_ino});
  if (!added) {
    if (known->second.device == info.st_dev && known->second.inode == info.st_ino) return name;  // the same file twice
    return fail(ErrorCode::invalid_input,
                fmt::format("{} and {} would both be {}/{}; rename one of them", printable_name(known->second.path), printable_name(path),
                            shown_at_, printable_name(name)));
  }
  if (directory)
    TRY(copy_directory(source.get(), target_.get(), name, path, 1));
  else
    TRY(copy(source.get(), info, target_.get(), name, path));
  return name;
}

Result<void> Staging::copy(int source, const struct stat& info, int into, const std::string& name, const std::string& path) {
  const auto target = make_file_beneath(into, name, info.st_mode & 0100 ? 0755 : 0644);
  if (!target) return fail_copy(path, target.error());
  if (const int problem = copy_file(source, target->get(), info.st_size)) return fail_copy(path, problem);
  const struct timespec times[2] = {info.st_atim, info.st_mtim};
  ::futimens(target->get(), times);  // a script may compare times; none is no failure
  return {};
}

Result<void> Staging::copy_directory(int source, int into, const std::string& name, const std::string& path, int depth) {
  if (depth > kDeepest) return fail_named_file(ErrorCode::not_found, "--inputs", path, "is nested too deep");
  if (is_own(source)) return {};  // `--inputs .` with the cache below it
  const auto target = make_directories_beneath(into, name, 0755);
  if (!target) return fail_copy(path, target.error());
  DirectoryReader reader(source);
  for (;;) {
    const auto entry = reader.next();
    if (!entry) return fail_named_file("--inputs", path, entry.error());
    if (!*entry) return {};
    const std::string entry_name((*entry)->name);
    TRY(copy_entry(source, target->get(), entry_name, path + "/" + entry_name, depth));
  }
}

Result<void> Staging::copy_entry(int source, int into, const std::string& name, const std::string& path, int depth) {
  const auto info = stat_beneath(source, name);
  if (!info) return fail_named_file("--inputs", path, info.error());
  if (S_ISLNK(info->st_mode)) {
    const auto link = read_link_beneath(source, name);
    if (!link) return fail_named_file("--inputs", path, link.error());
    if (::symlinkat(link->c_str(), into, name.c_str()) < 0) return fail_copy(path, errno);
    return {};
  }
  if (!S_ISDIR(info->st_mode) && !S_ISREG(info->st_mode)) {
    skipped_.push_back(fmt::format("{} was left out: neither file, directory nor symlink", printable_name(path)));
    return {};
  }
  const auto opened = open_beneath(source, name, O_RDONLY);
  if (!opened) return fail_named_file("--inputs", path, opened.error());
  struct stat now{};
  if (::fstat(opened->get(), &now) < 0) return fail_named_file("--inputs", path, errno);
  if (S_ISDIR(now.st_mode)) return copy_directory(opened->get(), into, name, path, depth + 1);
  if (!S_ISREG(now.st_mode)) return fail_named_file(ErrorCode::not_found, "--inputs", path, "changed while it was copied");
  return copy(opened->get(), now, into, name, path);
}

bool Staging::is_own(int fd) const {
  struct stat one{};
  struct stat other{};
  return ::fstat(fd, &one) == 0 && ::fstat(target_.get(), &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace casemate
