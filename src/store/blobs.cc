// Blobs: files named by the SHA-256 of their bytes.
#include <cerrno>
#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "store/parts.h"

namespace casemate {
namespace {

constexpr std::string_view kPrefix = "sha256:";

Result<std::string> hex_of_key(std::string_view key) {
  if (!key.starts_with(kPrefix) || !is_sha256_hex(key.substr(kPrefix.size())))
    return fail(ErrorCode::invalid_input, fmt::format("'{}' is no blob key: it must be 'sha256:' and 64 hex digits", printable_name(key)));
  return std::string(key.substr(kPrefix.size()));
}

// True if a blob of this size is there; marks it as used.
bool present(const std::string& path, std::uint64_t bytes) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) < 0 || !S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) != bytes) return false;
  return ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) == 0;
}

// Calls `take` with all bytes of a file from its start, in pieces; leaves its offset alone.
template <class Take>
Result<std::uint64_t> read_through(int fd, const Take& take) {
  std::string buffer(256 << 10, '\0');
  std::uint64_t offset = 0;
  for (;;) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read a file to put it into the cache");
    if (got == 0) return offset;
    TRY(take(std::string_view(buffer.data(), static_cast<std::size_t>(got))));
    offset += static_cast<std::uint64_t>(got);
  }
}

Result<std::string> digest_of_path(const std::string& path) {
  TRY_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  return sha256_hex_of_fd(fd.get());
}

}  // namespace

Result<void> Store::Parts::publish_blob(const std::string& hex, const std::string& filled, std::uint64_t bytes) const {
  const std::string path = blob_path(hex);
  const std::string directory = path.substr(0, path.rfind('/'));
  if (::rename(filled.c_str(), path.c_str()) < 0) {
    if (errno != ENOENT) return place.failure("put a blob into " + directory, errno);
    for (const std::string& part : {place.directory + "/blobs", place.directory + "/blobs/sha256", directory}) {
      if (::mkdir(part.c_str(), 0700) < 0 && errno != EEXIST) return place.failure("make the directory " + part, errno);
    }
    if (::rename(filled.c_str(), path.c_str()) < 0) return place.failure("put a blob into " + directory, errno);
  }
  TRY_ASSIGN(const UniqueFd opened, open_file(directory, O_RDONLY | O_DIRECTORY));
  if (::fsync(opened.get()) < 0) return place.failure("write " + directory, errno);
  grown(bytes);
  return {};
}

Result<std::string> Store::put_blob(std::string_view bytes) {
  const std::string hex = sha256_hex(bytes);
  if (present(parts_->blob_path(hex), bytes.size())) return std::string(kPrefix) + hex;
  TRY_ASSIGN(const std::unique_ptr<StoreTemp> temp, parts_->make_temp());
  TRY_ASSIGN(const UniqueFd file, open_file(temp->path() + "/blob", O_WRONLY | O_CREAT | O_EXCL, 0444));
  if (auto written = write_all(file.get(), bytes); !written) return parts_->place.failure("write a blob", written.error().errno_value);
  if (::fsync(file.get()) < 0) return parts_->place.failure("write a blob", errno);
  TRY(parts_->publish_blob(hex, temp->path() + "/blob", bytes.size()));
  return std::string(kPrefix) + hex;
}

Result<std::string> Store::put_blob_of_fd(int fd) {
  Sha256 first;
  TRY_ASSIGN(const std::uint64_t size, read_through(fd, [&](std::string_view piece) -> Result<void> {
               first.update(piece);
               return {};
             }));
  if (std::string hex = first.hex(); present(parts_->blob_path(hex), size)) return std::string(kPrefix) + hex;
  TRY_ASSIGN(const std::unique_ptr<StoreTemp> temp, parts_->make_temp());
  TRY_ASSIGN(const UniqueFd file, open_file(temp->path() + "/blob", O_WRONLY | O_CREAT | O_EXCL, 0444));
  Sha256 second;  // of what is written: the file may have changed since
  TRY_ASSIGN(const std::uint64_t copied, read_through(fd, [&](std::string_view piece) -> Result<void> {
               second.update(piece);
               if (auto written = write_all(file.get(), piece); !written)
                 return parts_->place.failure("write a blob", written.error().errno_value);
               return {};
             }));
  if (::fsync(file.get()) < 0) return parts_->place.failure("write a blob", errno);
  const std::string hex = second.hex();
  TRY(parts_->publish_blob(hex, temp->path() + "/blob", copied));
  return std::string(kPrefix) + hex;
}

Result<void> Store::adopt_blob(const std::string& path, std::string_view key) {
  TRY_ASSIGN(const std::string hex, hex_of_key(key));
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat info{};
  if (::fstat(file.get(), &info) < 0) return fail_errno("look at " + path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid_input, path + " is no regular file, and can't become a blob");
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  if (present(parts_->blob_path(hex), bytes)) {
    if (::unlink(path.c_str()) < 0) return fail_errno("remove " + path);
    return {};
  }
  if (::fchmod(file.get(), 0444) < 0 || ::futimens(file.get(), nullptr) < 0 || ::fsync(file.get()) < 0)
    return parts_->place.failure("write a blob", errno);
  return parts_->publish_blob(hex, path, bytes);
}

Result<std::optional<StoreLease>> Store::blob(std::string_view key, bool verify) {
  TRY_ASSIGN(const std::string hex, hex_of_key(key));
  const std::string path = parts_->blob_path(hex);
  {
    TRY_ASSIGN(std::optional<LockFile> lock, parts_->lock_entry(EntryKind::blob, hex));
    if (!lock) return std::nullopt;
    struct stat info{};
    if (::lstat(path.c_str(), &info) < 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    if (verify) {
      TRY_ASSIGN(const std::string found, digest_of_path(path));
      verify = found != hex;
    }
    if (!verify) {
      ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
      return StoreLease(path, lock->take());
    }
  }
  TRY_ASSIGN(const std::optional<std::string> removed, parts_->take_out(EntryKind::blob, hex));
  if (removed) static_cast<void>(parts_->discard(*removed));
  return fail(ErrorCode::corrupt,
              fmt::format("blob {} is damaged on disk{}", key, removed ? "; it was removed from the cache" : " and in use"));
}

}  // namespace casemate
