#include "sys/watched_program.h"

#include <cerrno>
#include <csignal>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kErrorLimit = 64 << 10;
constexpr int kNoExec = 127;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

// What the child needs, made before the fork: it may allocate nothing.
struct Start {
  const char* path;
  char* const* argv;
  char* const* env;
  const char* directory;
  int standard[3];  // all above 2
  pid_t parent;
};

[[noreturn]] void become(const Start& start) {
  // A parent that died before prctl sends no signal any more.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::getppid() != start.parent || ::setpgid(0, 0) < 0) ::_exit(kNoExec);
  for (const int number : {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD}) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int i = 0; i < 3; ++i) {
    if (::dup2(start.standard[i], i) < 0) ::_exit(kNoExec);
  }
  if (::syscall(SYS_close_range, 3u, ~0u, 0u) < 0 || (*start.directory && ::chdir(start.directory) < 0)) ::_exit(kNoExec);
  ::execve(start.path, start.argv, start.env);
  ::_exit(kNoExec);
}

Result<UniqueFd> above_standard(UniqueFd fd) {
  if (fd.get() > 2) return fd;
  UniqueFd higher(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!higher) return fail_errno("duplicate a descriptor");
  return higher;
}

// A running program and the pipes to it.
class Running {
 public:
  Running(const WatchedProgram& program, ChildProcess child, UniqueFd out, UniqueFd err)
      : program_(program), child_(std::move(child)), out_(std::move(out)), err_(std::move(err)) {}
  ~Running() { kill_group(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  Result<ProgramResult> to_end() {
    auto next_watch = Clock::now();
    for (bool ended = false; !ended;) {
      if (program_.watch && Clock::now() >= next_watch) {
        TRY(program_.watch());
        next_watch = Clock::now() + program_.interval;
      }
      pollfd watched[3] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}, {child_.pidfd(), POLLIN, 0}};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_watch - Clock::now()).count();
      if (::poll(watched, 3, program_.watch ? static_cast<int>(std::max<long>(left, 0)) : -1) < 0 && errno != EINTR)
        return fail_errno("wait for " + program_.argv[0]);
      ended = watched[2].revents != 0;
      drain(out_, result_.out, program_.out_limit + 1);
      drain(err_, result_.err, kErrorLimit);
      if (result_.out.size() > program_.out_limit)
        return fail(ErrorCode::exhausted, fmt::format("{} wrote more than {} bytes", program_.argv[0], program_.out_limit));
    }
    kill_group();  // its process id is still its own: it has not been reaped
    result_.end = *child_.reap(true);
    return std::move(result_);
  }

 private:
  void kill_group() const {
    if (child_) ::kill(-child_.pid(), SIGKILL);
  }
  // What a pipe has now; what is past `limit` is dropped.
  static void drain(UniqueFd& fd, std::string& text, std::size_t limit) {
    char buffer[16 << 10];
    while (fd) {
      const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        fd.reset();
      } else if (text.size() < limit) {
        text.append(buffer, std::min(static_cast<std::size_t>(got), limit - text.size()));
      } else {
        return;  // one piece a turn: a flood keeps nobody from watching
      }
    }
  }

  const WatchedProgram& program_;
  ChildProcess child_;
  UniqueFd out_;
  UniqueFd err_;
  ProgramResult result_;
};

}  // namespace

Result<ProgramResult> run_watched(const WatchedProgram& program) {
  TRY_ASSIGN(Pipe out, make_pipe());
  TRY_ASSIGN(Pipe err, make_pipe());
  for (const int fd : {out.read.get(), err.read.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  TRY_ASSIGN(UniqueFd null, open_file("/dev/null", O_RDONLY));
  TRY_ASSIGN(null, above_standard(std::move(null)));
  TRY_ASSIGN(out.write, above_standard(std::move(out.write)));
  TRY_ASSIGN(err.write, above_standard(std::move(err.write)));
  if (::access(program.argv[0].c_str(), X_OK) < 0)
    return fail(ErrorCode::not_found, fmt::format("{} can't be run: {}", program.argv[0], std::strerror(errno)), errno);
  const std::vector<char*> argv = pointers(program.argv);
  const std::vector<char*> env = pointers(program.env);
  const Start start{program.argv[0].c_str(),
                    argv.data(),
                    env.data(),
                    program.directory.c_str(),
                    {null.get(), out.write.get(), err.write.get()},
                    ::getpid()};
  int pidfd = -1;
  const pid_t pid = clone_process(0, -1, &pidfd);
  if (pid < 0) return fail_errno("start " + program.argv[0]);
  if (pid == 0) become(start);
  Running running(program, ChildProcess(pid, UniqueFd(pidfd)), std::move(out.read), std::move(err.read));
  out.write.reset();
  err.write.reset();
  return running.to_end();
}

}  // namespace casemate
