// fd: UniqueFd owns a file descriptor; small wrappers of the calls everybody needs.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "casemate/result.h"

namespace casemate {

/// Owns one file descriptor and closes it. -1 is "none".
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

/// Both ends of a pipe(7).
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

/// pipe2(2) with O_CLOEXEC and `flags`.
Result<Pipe> make_pipe(int flags = 0);
/// open(2) with O_CLOEXEC. For paths the user named; for untrusted paths see sys/path.h.
Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode = 0);
/// Writes all of `bytes`, retrying short writes and EINTR.
Result<void> write_all(int fd, std::string_view bytes);
/// Reads to the end, at most `limit` bytes; more is an `exhausted` error.
Result<std::string> read_all(int fd, std::size_t limit);
/// The whole of a file the user named; not_found with a plain message where it is missing, invalid_input for a directory, a
/// special file, or one of more than `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit = 64u << 20);

/// A memfd (memfd_create(2)) with these bytes, sealed: nobody can change them any more. `executable`: it may be mapped for execution, also
/// where vm.memfd_noexec asks for that to be said (MFD_EXEC, Linux 6.3). `name` is for /proc.
Result<UniqueFd> sealed_memory(const char* name, std::string_view bytes, bool executable = false);

/// An Error of code `system` from errno: "can't WHAT: strerror".
[[nodiscard]] std::unexpected<Error> fail_errno(const std::string& what, int errno_value = errno);

}  // namespace casemate
