#include "witness/witness.h"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/seccomp.h"
#include "witness/action.h"
#include "witness/process_list.h"
#include "witness/worker_facts.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostLeftovers = 16;
constexpr int kReport = 3;            // Job::report
constexpr std::size_t kPiece = 3500;  // of a report, a line of ours: with its mark below PIPE_BUF, so that nobody writes into it

// The number behind `key` in lines of "key number", or with "" the text's own.
std::optional<std::uint64_t> number_in(const std::string& text, std::string_view key) {
  std::size_t at = 0;
  if (!key.empty()) {
    at = text.find(std::string(key) + " ");
    if (at == std::string::npos || (at > 0 && text[at - 1] != '\n')) return std::nullopt;
    at += key.size() + 1;
  }
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (problem != std::errc()) return std::nullopt;
  return value;
}

// What the container's own cgroup, which it sees, has counted: v2, else v1.
struct Counters {
  std::optional<std::uint64_t> oom_kills, pids_refused, peak_memory, peak_pids, user_us, system_us;

  static Counters now() {
    const std::string top = "/sys/fs/cgroup/";
    Counters all;
    if (const std::string events = small_file(top + "memory.events"); !events.empty()) {
      all.oom_kills = number_in(events, "oom_kill");
      all.peak_memory = number_in(small_file(top + "memory.peak"), "");
      const std::string cpu = small_file(top + "cpu.stat");
      all.user_us = number_in(cpu, "user_usec");
      all.system_us = number_in(cpu, "system_usec");
      all.pids_refused = number_in(small_file(top + "pids.events"), "max");
      all.peak_pids = number_in(small_file(top + "pids.peak"), "");
      return all;
    }
    all.oom_kills = number_in(small_file(top + "memory/memory.oom_control"), "oom_kill");
    all.peak_memory = number_in(small_file(top + "memory/memory.max_usage_in_bytes"), "");
    all.pids_refused = number_in(small_file(top + "pids/pids.events"), "max");
    all.peak_pids = number_in(small_file(top + "pids/pids.peak"), "");
    const auto user = number_in(small_file(top + "cpuacct/cpuacct.usage_user"), "");
    const auto system = number_in(small_file(top + "cpuacct/cpuacct.usage_sys"), "");
    if (user) all.user_us = *user / 1000;
    if (system) all.system_us = *system / 1000;
    return all;
  }
};

class Witness {
 public:
  Witness(std::string token, bool strict, bool first, std::vector<std::string> command)
      : token_(std::move(token)), strict_(strict), first_(first), command_(std::move(command)), terminal_(::isatty(0) == 1 && !first) {}

  /// The command gets a descriptor 3 whose bytes are passed on. Only as the first process, at whose end nobody holds it any more.
  void pass_report_on() { reports_ = true; }

  int go() {
    // Nobody in the container looks into this memory, where the token is, or makes its descriptors his.
    ::prctl(PR_SET_DUMPABLE, 0);
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_BLOCK, &all, &old_mask_);
    const Counters before = Counters::now();
    const std::set<pid_t> present = first_ ? std::set<pid_t>() : all_processes();
    const int problem = start();
    if (problem != 0) {
      say(fmt::format("exec={} end", problem), true);
      return problem == ENOENT ? 127 : 126;
    }
    say(fmt::format("started={}", terminal_ ? -::getsid(0) : child_), false);
    const int status = wait();
    const auto wall = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
    std::string line = WIFSIGNALED(status) ? fmt::format("signal={}", WTERMSIG(status)) : fmt::format("exit={}", WEXITSTATUS(status));
    line += fmt::format(" wall={}", wall.count()) + left_behind(present);
    if (first_) {
      ::kill(-1, SIGKILL);
      while (::waitpid(-1, nullptr, 0) > 0) {
      }
    }
    while (pass_on()) {
    }
    line += used(before) + (any_full() ? " full" : "");
    say(line + " end", true);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  // 0 or the errno of execve(2).
  int start() {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) < 0) return errno;
    int report[2] = {-1, -1};
    if (reports_ && ::pipe2(report, O_CLOEXEC) < 0) return errno;
    report_.reset(report[0]);
    UniqueFd reports(report[1]);
    if (report_) ::fcntl(report_.get(), F_SETFL, O_NONBLOCK);
    began_ = Clock::now();
    child_ = ::fork();
    if (child_ < 0) {
      const int problem = errno;
      ::close(pipe[0]);
      ::close(pipe[1]);
      return problem;
    }
    if (child_ == 0) {
      if (reports) ::dup2(reports.get(), kReport);
      const int problem = become();
      [[maybe_unused]] const auto told = ::write(pipe[1], &problem, sizeof problem);
      ::_exit(127);
    }
    ::close(pipe[1]);
    int problem = 0;
    const bool failed = ::read(pipe[0], &problem, sizeof problem) == sizeof problem;
    ::close(pipe[0]);
    if (!failed) return 0;
    ::waitpid(child_, nullptr, 0);
    return problem;
  }

  int become() {
    if (terminal_) {
      ::setpgid(0, 0);
      ::tcsetpgrp(0, ::getpid());  // SIGTTOU is blocked
    } else {
      ::setsid();
    }
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (strict_) {
      if (const int problem = install_seccomp(seccomp_program(Profile::strict))) return problem;
    }
    return execute_command(command_);
  }

  int wait() {
    sigset_t all;
    ::sigfillset(&all);
    const UniqueFd signals(report_ ? ::signalfd(-1, &all, SFD_CLOEXEC) : -1);
    for (;;) {
      int status = 0;
      for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        if (ended == child_) return status;
      }
      const int number = signals ? next_signal(signals.get()) : ::sigwaitinfo(&all, nullptr);
      if (number > 0 && number != SIGCHLD) ::kill(-child_, number);
    }
  }

  // Passes on what is reported meanwhile.
  int next_signal(int signals) {
    for (;;) {
      pollfd wanted[] = {{signals, POLLIN, 0}, {report_.get(), POLLIN, 0}};
      if (::poll(wanted, report_ ? 2 : 1, -1) < 0) continue;
      if (report_ && wanted[1].revents != 0 && !pass_on() && errno != EAGAIN) report_.reset();
      signalfd_siginfo info{};
      if (wanted[0].revents != 0 && ::read(signals, &info, sizeof info) == sizeof info) return static_cast<int>(info.ssi_signo);
    }
  }

  // A piece of the report. False: there is no more of it, or with EAGAIN just now.
  bool pass_on() {
    char bytes[kPiece];
    errno = 0;
    const ssize_t got = report_ ? ::read(report_.get(), bytes, sizeof bytes) : 0;
    if (got <= 0) return false;
    std::string_view rest(bytes, static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const auto end = rest.find('\n');
      say(fmt::format("{} {}", end == std::string_view::npos ? '+' : '.', rest.substr(0, end)), true);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    return true;
  }

  std::string left_behind(const std::set<pid_t>& present) const {
    std::string words;
    int count = 0;
    for (const pid_t pid : all_processes()) {
      if (pid == ::getpid() || pid == 1 || present.contains(pid) || count >= kMostLeftovers) continue;
      const auto facts = facts_of(pid);
      if (!facts || facts->state == 'Z' || facts->state == 'X') continue;
      if (facts->name == ".casemate") continue;  // one of ours that passes a signal on
      words += fmt::format(" left={}:", pid);
      for (const char byte : facts->name) words += fmt::format("{:02x}", static_cast<unsigned char>(byte));
      ++count;
    }
    return words;
  }

  std::string used(const Counters& before) const {
    const Counters after = Counters::now();
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    const auto since = [](const std::optional<std::uint64_t>& now, const std::optional<std::uint64_t>& then) {
      return now ? *now - std::min(*now, then.value_or(0)) : 0;
    };
    const auto microseconds = [](const timeval& time) {
      return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
    };
    std::string words =
        fmt::format(" user={} system={} major={} minor={} oom={} refused={}",
                    after.user_us ? since(after.user_us, before.user_us) : microseconds(usage.ru_utime),
                    after.system_us ? since(after.system_us, before.system_us) : microseconds(usage.ru_stime), usage.ru_majflt,
                    usage.ru_minflt, since(after.oom_kills, before.oom_kills), since(after.pids_refused, before.pids_refused));
    const bool whole = first_ && after.peak_memory;
    words += fmt::format(" memory={}", whole ? *after.peak_memory : static_cast<std::uint64_t>(usage.ru_maxrss) * 1024);
    if (first_ && after.peak_pids) words += fmt::format(" pids={}", *after.peak_pids);
    return words;
  }

  static bool any_full() {
    const auto full = [](const std::string& path) {
      struct statvfs state{};
      return ::statvfs(path.c_str(), &state) == 0 && (state.f_flag & ST_RDONLY) == 0 && state.f_blocks > 0 &&
             (state.f_bavail == 0 || (state.f_files > 0 && state.f_favail == 0));
    };
    if (full("/")) return true;
    // "tmpfs /tmp tmpfs rw,nosuid,...": of spaces in a place there is no need to know here.
    const std::string mounts = small_file("/proc/self/mounts");
    for (std::size_t at = 0; at < mounts.size();) {
      const std::size_t end = std::min(mounts.find('\n', at), mounts.size());
      const std::string line = mounts.substr(at, end - at);
      at = end + 1;
      const auto place = line.find(' ');
      const auto type = place == std::string::npos ? place : line.find(' ', place + 1);
      if (type == std::string::npos || !line.substr(type).starts_with(" tmpfs rw")) continue;
      const std::string path = line.substr(place + 1, type - place - 1);
      if (path != "/dev" && !path.starts_with("/proc") && !path.starts_with("/sys") && full(path)) return true;
    }
    return false;
  }

  // `last`: also on stdout, whose reader can't tell otherwise that all has come while a service holds it open.
  void say(const std::string& words, bool last) const {
    const std::string line = std::string(1, '\0') + "casemate-" + token_ + " " + words + "\n";
    if (first_ && !last) return;
    (void)write_all(STDERR_FILENO, line);
    if (!first_ && last && !terminal_) (void)write_all(STDOUT_FILENO, std::string(1, '\0') + "casemate-" + token_ + " \n");
  }

  std::string token_;
  bool strict_;
  bool first_;
  std::vector<std::string> command_;
  bool terminal_;
  bool reports_ = false;
  UniqueFd report_;  // its reading end
  sigset_t old_mask_{};
  Clock::time_point began_;
  pid_t child_ = -1;
};

// The first process of a container whose commands come by exec.
int hold() {
  ::prctl(PR_SET_DUMPABLE, 0);
  struct sigaction reap{};
  reap.sa_handler = SIG_IGN;  // the kernel reaps
  ::sigaction(SIGCHLD, &reap, nullptr);
  char bytes[512];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return 0;
  }
}

int signal_session(int number, pid_t which) {
  const pid_t session = which < 0 ? -which : which;
  // Again, for one that forks meanwhile.
  for (int round = 0; round < 100; ++round) {
    bool any = false;
    for (const pid_t pid : all_processes()) {
      if (pid <= 1 || pid == ::getpid() || pid == -which) continue;
      const auto facts = facts_of(pid);
      if (!facts || facts->session != session || facts->state == 'Z') continue;
      ::kill(pid, number);
      any = true;
    }
    if (!any || number != SIGKILL) return 0;
    ::usleep(1000);
  }
  return 1;
}

// "strict,TERM,HOME": the profile; the variables of these names go.
std::string take_away(const std::string& text) {
  std::size_t at = text.find(',');
  const std::string profile = text.substr(0, at);
  while (at != std::string::npos) {
    const std::size_t end = text.find(',', at + 1);
    ::unsetenv(text.substr(at + 1, end == std::string::npos ? end : end - at - 1).c_str());
    at = end;
  }
  return profile;
}

// The environment becomes what stdin says, which is empty from then on. False: it breaks off.
bool take_environment() {
  std::string text;
  while (!text.ends_with(std::string(2, '\0')) && text != std::string(1, '\0')) {
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    text += byte;
  }
  ::clearenv();
  for (std::size_t at = 0; text[at] != '\0'; at = text.find('\0', at) + 1) {
    const std::string variable = text.c_str() + at;
    const auto equals = variable.find('=');
    ::setenv(variable.substr(0, equals).c_str(), variable.c_str() + (equals == std::string::npos ? variable.size() : equals + 1), 1);
  }
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return nothing && ::dup2(nothing.get(), STDIN_FILENO) == STDIN_FILENO;
}

}  // namespace

int witness_main(const std::vector<std::string>& words) {
  const std::string mode = words.empty() ? "" : words[0];
  if (mode == "hold") return hold();
  if (mode == "look") return write_all(STDOUT_FILENO, facts_text(look_at_worker())) ? 0 : 1;
  if (mode == "action" && words.size() == 2) return witness_action(words[1]);
  if (mode == "signal" && words.size() == 3) return signal_session(std::atoi(words[1].c_str()), std::atoi(words[2].c_str()));
  if ((mode != "job" && mode != "report" && mode != "told" && mode != "command") || words.size() <= 3) return 125;
  if (mode == "told" && !take_environment()) return 125;
  Witness witness(words[1], take_away(words[2]) == "strict", mode != "command", {words.begin() + 3, words.end()});
  if (mode == "report") witness.pass_report_on();
  return witness.go();
}

}  // namespace casemate
