#include "sys/fd.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace casemate {

std::unexpected<Error> fail_errno(const std::string& what, int errno_value) {
  const ErrorCode code =
      errno_value == ENOENT                           ? ErrorCode::not_found
      : errno_value == EACCES || errno_value == EPERM ? ErrorCode::refused
      : errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOMEM
          ? ErrorCode::exhausted
          : ErrorCode::system;
  return fail(code, fmt::format("can't {}: {}", what, std::strerror(errno_value)), errno_value);
}

Result<Pipe> make_pipe(int flags) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | flags) < 0) return fail_errno("make a pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_errno("open " + path);
  return UniqueFd(fd);
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno("write");
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<std::string> read_all(int fd, std::size_t limit) {
  std::string all;
  char buffer[16 << 10];  // not cleared, on the stack: most files here are a line or two, and a heap buffer's page faults cost more than
                          // the read
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read");
    if (got == 0) return all;
    if (all.size() + static_cast<std::size_t>(got) > limit) return fail(ErrorCode::exhausted, fmt::format("more than {} bytes", limit));
    all.append(buffer, static_cast<std::size_t>(got));
  }
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  TRY_ASSIGN(UniqueFd fd, open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat info{};
  if (::fstat(fd.get(), &info) < 0) return fail_errno("look at " + path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid_input, fmt::format("{} is not a regular file", path));
  auto bytes = read_all(fd.get(), limit);
  if (!bytes && bytes.error().code == ErrorCode::exhausted)
    return fail(ErrorCode::invalid_input, fmt::format("{} is larger than {} bytes", path, limit));
  return bytes;
}

Result<UniqueFd> sealed_memory(const char* name, std::string_view bytes, bool executable) {
  constexpr unsigned kExecutable = 0x10;  // MFD_EXEC
  UniqueFd fd(executable ? ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kExecutable) : -1);
  if (!fd) fd.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("make a memfd");
  TRY(write_all(fd.get(), bytes));
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return fd;
}

}  // namespace casemate
