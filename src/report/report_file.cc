#include "report/report_file.h"

#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::size_t kBuffer = 64u << 10;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string temporary_name(const std::string& target) { return fmt::format("{}/.casemate-{}.tmp", directory_of(target), random_name()); }

// The file behind symlinks, so that rename() replaces it and not the link.
std::string resolved(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (!real) return path;
  std::string text = real;
  ::free(real);
  return text;
}

bool can_be_written(mode_t mode) { return S_ISREG(mode) || S_ISCHR(mode) || S_ISFIFO(mode); }

}  // namespace

std::unexpected<Error> ReportFile::unfit() const {
  return fail(ErrorCode::invalid_input, fmt::format("can't write {}: it is no file, pipe or terminal", printable_name(path_)));
}

std::unexpected<Error> ReportFile::failure(int errno_value) const {
  return fail_errno(fmt::format("write {}", printable_name(path_)), errno_value);
}

Result<ReportFile> ReportFile::begin(const std::string& path) {
  ReportFile file;
  file.path_ = path;
  std::error_code problem;
  std::filesystem::create_directories(directory_of(path), problem);
  if (problem) return file.failure(problem.value());
  file.target_ = resolved(path);
  struct stat info{};
  if (::stat(file.target_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    if (S_ISDIR(info.st_mode)) return file.failure(EISDIR);
    if (!can_be_written(info.st_mode)) return file.unfit();
    file.special_ = true;
    file.fd_.reset(::memfd_create("casemate-report", MFD_CLOEXEC));
  } else {
    file.fd_.reset(::open(directory_of(file.target_).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666));
    if (!file.fd_) {
      file.temporary_ = temporary_name(file.target_);
      file.fd_.reset(::open(file.temporary_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666));
      if (!file.fd_) file.temporary_.clear();
    }
  }
  if (!file.fd_) return file.failure(errno);
  return file;
}

Result<void> ReportFile::keep_owner_and_mode() {
  struct stat info{}, own{};
  if (special_ || ::stat(target_.c_str(), &info) != 0) return {};
  if (::fstat(fd_.get(), &own) < 0) return failure(errno);
  // Only root can give a file away; who may write a file of another's gets one of his own, as an editor's user does.
  if (info.st_uid != own.st_uid || info.st_gid != own.st_gid) (void)!::fchown(fd_.get(), info.st_uid, info.st_gid);
  return ::fchmod(fd_.get(), info.st_mode & 07777) == 0 ? Result<void>() : failure(errno);
}

ReportFile& ReportFile::operator=(ReportFile&& other) noexcept {
  discard();
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  temporary_ = std::exchange(other.temporary_, "");
  fd_ = std::move(other.fd_);
  buffer_ = std::move(other.buffer_);
  size_ = other.size_;
  special_ = other.special_;
  return *this;
}

ReportFile::~ReportFile() { discard(); }

void ReportFile::discard() {
  if (fd_ && !temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> ReportFile::flush() {
  const auto written = write_all(fd_.get(), buffer_);
  if (!written) return failure(written.error().errno_value);
  buffer_.clear();
  return {};
}

Result<void> ReportFile::add(std::string_view text) {
  buffer_.append(text);
  size_ += text.size();
  return buffer_.size() < kBuffer ? Result<void>() : flush();
}

Result<void> ReportFile::put_at(std::uint64_t offset, std::string_view text) {
  TRY(flush());
  while (!text.empty()) {
    const ssize_t put = ::pwrite(fd_.get(), text.data(), text.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return failure(errno);
    text.remove_prefix(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Result<void> ReportFile::add_from(ReportFile& other, std::uint64_t size) {
  TRY(other.flush());
  std::string piece(kBuffer, '\0');
  for (std::uint64_t at = 0; at < size;) {
    const ssize_t got = ::pread(other.fd_.get(), piece.data(), std::min<std::uint64_t>(piece.size(), size - at), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failure(got < 0 ? errno : EIO);
    TRY(add(std::string_view(piece).substr(0, static_cast<std::size_t>(got))));
    at += static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<void> ReportFile::copy_out() {
  // A FIFO that nobody reads would hold us here for ever.
  const UniqueFd out(::open(target_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!out && errno == ENXIO)
    return fail(ErrorCode::system, fmt::format("can't write {}: nobody reads from it", printable_name(path_)), ENXIO);
  if (!out) return failure(errno);
  struct stat info{};
  if (::fstat(out.get(), &info) < 0) return failure(errno);
  if (!can_be_written(info.st_mode)) return unfit();
  const int flags = ::fcntl(out.get(), F_GETFL);
  if (flags < 0 || ::fcntl(out.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) return failure(errno);
  std::string piece(kBuffer, '\0');
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd_.get(), piece.data(), piece.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failure(errno);
    if (got == 0) return {};
    const auto written = write_all(out.get(), std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
    if (!written) return failure(written.error().errno_value);
    at += got;
  }
}

Result<void> ReportFile::publish() {
  TRY(flush());
  if (special_) return copy_out();
  if (temporary_.empty()) {
    temporary_ = temporary_name(target_);
    const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) < 0) {
      const int problem = errno;
      temporary_.clear();
      return failure(problem);
    }
  }
  if (::rename(temporary_.c_str(), target_.c_str()) < 0) return failure(errno);
  temporary_.clear();
  return {};
}

}  // namespace casemate
