#include "sys/process.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <fmt/format.h>
#include <linux/sched.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace casemate {
namespace {

constexpr idtype_t kByPidfd = static_cast<idtype_t>(3);  // P_PIDFD, Linux 5.4

std::int64_t microseconds(const timeval& time) { return static_cast<std::int64_t>(time.tv_sec) * 1'000'000 + time.tv_usec; }

Result<void> write_id_map(pid_t pid, const char* file, std::uint32_t first_host_id, std::uint32_t count) {
  TRY_ASSIGN(UniqueFd fd, open_file(fmt::format("/proc/{}/{}", pid, file), O_WRONLY));
  return write_all(fd.get(), fmt::format("0 {} {}\n", first_host_id, count));
}

}  // namespace

pid_t clone_process(std::uint64_t flags, int cgroup_fd, int* pidfd) {
  clone_args arguments{};
  arguments.flags = flags | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(pidfd);
  arguments.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup_fd);
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    kill_and_reap();
    pid_ = std::exchange(other.pid_, 0);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

void ChildProcess::signal(int number) const {
  if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::optional<ProcessEnd> ChildProcess::reap(bool block) {
  if (pid_ <= 0) return std::nullopt;
  siginfo_t info{};
  rusage usage{};
  // The system call, not glibc's waitid(3): only the call gives the rusage.
  while (::syscall(SYS_waitid, kByPidfd, pidfd_.get(), &info, WEXITED | (block ? 0 : WNOHANG), &usage) < 0) {
    if (errno == EINTR) continue;
    pid_ = 0;  // somebody else reaped it: nothing is known
    return ProcessEnd{.signaled = true, .code = SIGKILL, .reaped_elsewhere = true};
  }
  if (info.si_pid == 0) return std::nullopt;
  pid_ = 0;
  ProcessEnd end;
  end.signaled = info.si_code != CLD_EXITED;
  end.code = info.si_status;
  end.user_us = microseconds(usage.ru_utime);
  end.system_us = microseconds(usage.ru_stime);
  end.max_rss_bytes = usage.ru_maxrss * 1024;
  end.major_faults = static_cast<std::uint64_t>(usage.ru_majflt);
  end.minor_faults = static_cast<std::uint64_t>(usage.ru_minflt);
  return end;
}

void ChildProcess::kill_and_reap() {
  if (pid_ <= 0) return;
  signal(SIGKILL);
  reap(true);
}

Result<UniqueFd> make_user_namespace(std::uint32_t first_host_id, std::uint32_t count) {
  int pidfd = -1;
  const pid_t parent = ::getpid();
  const pid_t pid = clone_process(CLONE_NEWUSER, -1, &pidfd);
  if (pid < 0) return fail_errno("make a user namespace");
  if (pid == 0) {
    // It must not outlive us, killed as we may be; and a parent that died before prctl sends no signal any more.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::getppid() != parent) ::_exit(1);
    for (;;) ::pause();
  }
  ChildProcess holder(pid, UniqueFd(pidfd));
  TRY(write_id_map(pid, "uid_map", first_host_id, count));
  TRY(write_id_map(pid, "gid_map", first_host_id, count));
  return open_file(fmt::format("/proc/{}/ns/user", pid), O_RDONLY);
}

std::optional<std::uint64_t> process_start_time(pid_t pid) {
  auto text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  const auto close = rest.rfind(')');  // comm may hold spaces and parentheses
  if (close == std::string_view::npos || close + 2 >= rest.size()) return std::nullopt;
  rest.remove_prefix(close + 2);
  for (int field = 3; field < 22; ++field) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  if (std::from_chars(rest.data(), rest.data() + rest.size(), ticks).ec != std::errc{}) return std::nullopt;
  return ticks;
}

Result<ProgramResult> run_program(const std::vector<std::string>& argv, std::chrono::milliseconds timeout) {
  TRY_ASSIGN(Pipe out, make_pipe());
  TRY_ASSIGN(Pipe err, make_pipe());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.write.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, err.write.get(), 2);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  const int problem = ::posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) return fail_errno("start " + argv[0], problem);
  ChildProcess child(pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
  out.write.reset();
  err.write.reset();

  ProgramResult result;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  pollfd watched[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.err};
  constexpr std::size_t kMost = 64 << 10;
  char buffer[4096];
  while (watched[0].fd >= 0 || watched[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return fail(ErrorCode::system, fmt::format("{} did not end within {} ms", argv[0], timeout.count()), ETIMEDOUT);
    if (::poll(watched, 2, static_cast<int>(left)) < 0 && errno != EINTR) return fail_errno("wait for " + argv[0]);
    for (int i = 0; i < 2; ++i) {
      if (watched[i].fd < 0 || watched[i].revents == 0) continue;
      const ssize_t got = ::read(watched[i].fd, buffer, sizeof buffer);
      if (got <= 0) {
        watched[i].fd = -1;
      } else if (texts[i]->size() < kMost) {
        texts[i]->append(buffer, static_cast<std::size_t>(got));
      }
    }
  }
  result.end = *child.reap(true);
  return result;
}

std::string program_beside(std::string_view name) {
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  const std::string own(self, length > 0 ? static_cast<std::size_t>(length) : 0);
  return own.substr(0, own.rfind('/') + 1) + std::string(name);
}

bool is_program(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::string program_on_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    if (!directory.starts_with('/')) continue;  // the current directory may be anybody's
    std::string found = fmt::format("{}/{}", directory, name);
    if (is_program(found)) return found;
  }
  return "";
}

}  // namespace casemate
