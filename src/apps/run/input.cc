#include "apps/run/input.h"

#include <cerrno>
#include <csignal>

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace casemate {
namespace {

/// Copies until the input ends or nobody reads any more. In a process of its own that shares nothing and has no descriptors but these two.
[[noreturn]] void feed(int from, int to, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  // Above 2 first: either may be 0, 1 or 2 itself.
  const int source = ::fcntl(from, F_DUPFD, 3);
  const int sink = ::fcntl(to, F_DUPFD, 3);
  if (source < 0 || sink < 0 || ::dup2(source, 0) < 0 || ::dup2(sink, 1) < 0) ::_exit(1);
  ::syscall(SYS_close_range, 2, ~0u, 0);
  char buffer[16384];
  ssize_t got;
  while ((got = ::read(0, buffer, sizeof buffer)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || !write_all(1, {buffer, static_cast<std::size_t>(got)})) ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

Result<Input> Input::from(int fd) {
  struct stat info{};
  Input input;
  if (::fstat(fd, &info) < 0) return fail_errno("read stdin (-i)");
  if (S_ISDIR(info.st_mode)) return fail(ErrorCode::invalid_input, "stdin is a directory; give -i a file, a pipe or a terminal");
  TRY_ASSIGN(Pipe pipe, make_pipe());
  ::fchmod(pipe.read.get(), 0666);  // or the job, another user, can't open /dev/stdin
  const pid_t parent = ::getpid();
  int pidfd = -1;
  const pid_t pid = clone_process(0, -1, &pidfd);
  if (pid < 0) return fail_errno("make a process that passes stdin on");
  if (pid == 0) feed(fd, pipe.write.get(), parent);
  input.feeder_ = ChildProcess(pid, UniqueFd(pidfd));
  input.end_ = std::move(pipe.read);
  return input;
}

}  // namespace casemate
