// init: pid 1 of a cell. Starts the job, reaps orphans, forwards signals, watches what no cgroup holds, and reports. When it exits the
// kernel kills everything else in the pid namespace, so nothing can outlive it; when the engine dies, its end of the socket closes and init
// exits. Never execs: a copy of the engine's memory, not dumpable, whose address space belongs to the engine's user namespace, so nothing
// in the cell can read or trace it (ptrace(2), PTRACE_MODE_READ: not dumpable needs CAP_SYS_PTRACE there), and /proc/1/exe can't be opened
// (CVE-2019-5736).
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/child.h"
#include "cell/command.h"
#include "cell/init.h"
#include "cell/processes.h"
#include "cell/untouched.h"

namespace casemate {
namespace {

// The engine's others, its ends of other cells' pipes among them, must not live on here.
void close_engine_fds(const ChildContext& context) {
  int kept[kMostSlots + 16];
  int count = 0;
  const auto keep = [&](int fd) {
    if (fd < 0) return;
    int at = count++;
    while (at > 0 && kept[at - 1] > fd) {
      kept[at] = kept[at - 1];
      --at;
    }
    kept[at] = fd;
  };
  keep(context.socket);
  keep(context.network);
  for (const int fd : context.standard) keep(fd);
  for (std::size_t i = 0; i < context.plan->sources.size(); ++i) keep(context.slots[i]);
  unsigned first = 0;
  for (int i = 0; i < count; ++i) {
    const auto fd = static_cast<unsigned>(kept[i]);
    if (fd > first) ::syscall(SYS_close_range, first, fd - 1, 0);
    if (fd >= first) first = fd + 1;
  }
  ::syscall(SYS_close_range, first, ~0u, 0);
}

void reset_signals() {
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < 65; ++number) ::sigaction(number, &plain, nullptr);
}

[[noreturn]] void job_main(ChildContext& context) {
  // In the job's process. Fds 0 to 2 may be among the prepared ones, so they are moved out of the way first.
  int moved[3];
  int inherited[kMostInherited];
  for (int i = 0; i < 3; ++i) {
    moved[i] = ::fcntl(context.standard[i], F_DUPFD_CLOEXEC, 3 + kMostInherited);
    if (moved[i] < 0) fail_with(context, 1, 0, errno);
  }
  constexpr int kFirstOfOurs = 3 + kMostInherited;
  for (int i = 0; i < context.inherited_count; ++i) {
    inherited[i] = ::fcntl(context.inherited[i], F_DUPFD_CLOEXEC, kFirstOfOurs);
    if (inherited[i] < 0) fail_with(context, 1, 0, errno);
  }
  if (context.socket < kFirstOfOurs) context.socket = ::fcntl(context.socket, F_DUPFD_CLOEXEC, kFirstOfOurs);
  for (int i = 0; i < 3; ++i) {
    if (::dup2(moved[i], i) < 0) fail_with(context, 1, 0, errno);
  }
  for (int i = 0; i < context.inherited_count; ++i) {
    if (::dup2(inherited[i], 3 + i) < 0) fail_with(context, 1, 0, errno);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  int problem = 0;
  const std::size_t failed = run_steps(context.plan->job, context, problem);
  fail_with(context, 1, failed, problem);
}

// True if there is none.
bool report_leftovers(const ChildContext& context, pid_t job) {
  if (no_children()) return true;
  int reported = 0;
  each_process([&](int proc, int pid) {
    if (pid != job && report_leftover(context, proc, pid)) ++reported;
    return reported < kMostLeftovers;
  });
  return false;
}

// Ends the job if it is over a limit that no cgroup holds.
void watch(const ChildContext& context) {
  if (context.memory_watch_bytes > 0 && memory_in_use(context.memory_watch_bytes) > context.memory_watch_bytes) {
    send_message(context.socket, Message{.kind = Message::Kind::over_limit, .step = 0});
    ::_exit(0);
  }
  if (context.cpu_watch_us > 0 && cpu_in_use_us() > context.cpu_watch_us) {
    send_message(context.socket, Message{.kind = Message::Kind::over_limit, .step = 1});
    ::_exit(0);
  }
}

// Reaps what has ended; true when the job's main process was among it.
bool reap(pid_t job, int& status) {
  for (;;) {
    int ended = 0;
    const pid_t pid = ::waitpid(-1, &ended, WNOHANG);
    if (pid <= 0) return false;
    if (pid == job) {
      status = ended;
      return true;
    }
  }
}

// Until the job's main process has ended; gives its wait status. `job` 0: it is another's child, and the engine says when it has.
int watch_job(const ChildContext& context, int signals, pid_t job) {
  const bool watching = context.memory_watch_bytes > 0 || context.cpu_watch_us > 0;
  pollfd watched[2] = {{signals, POLLIN, 0}, {context.socket, POLLIN, 0}};
  for (;;) {
    const int ready = ::poll(watched, 2, watching ? kWatchIntervalMs : -1);
    if (ready < 0 && errno != EINTR) ::_exit(1);  // EINVAL: somebody has taken init's descriptors (RLIMIT_NOFILE)
    if (ready == 0) watch(context);
    if (watched[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(signals, &info, sizeof info) > 0) {
      }
      int status = 0;
      if (reap(job, status)) return status;
    }
    if (watched[1].revents != 0) {
      Message message{};
      if (receive_message(context.socket, message, nullptr, 0) < 0) ::_exit(0);
      if (message.kind == Message::Kind::finish && job == 0) return message.value;
      if (message.kind == Message::Kind::signal && job > 0 && ::kill(-job, message.value) < 0) ::kill(job, message.value);
    }
    if (watching && watched[0].revents != 0) watch(context);
  }
}

// The engine has it from a fork's parent, whom we need not believe, that the fork has ended.
bool no_other_process() {
  bool others = false;
  return each_process([&](int, int) {
           others = true;
           return false;
         }) &&
         !others;
}

// Until the engine says that one is on its way; true if it has sent trees to be shown to it.
bool await_fork(const ChildContext& context) {
  for (bool more = false;; more = true) {
    Message message{};
    int fds[2];
    const int count = receive_message(context.socket, message, fds, 2);
    if (count >= 0 && message.kind == Message::Kind::adopt) return more;
    if (count != 2 || message.kind != Message::Kind::mount) ::_exit(0);
    const auto mounting = static_cast<std::uint32_t>(message.value);
    const int problem = mount_late(fds[0], fds[1], mounting);
    if (problem != 0) fail_with(context, kMountPhase, message.step, problem);
    for (const int fd : fds) ::close(fd);
    if ((mounting & Message::last) != 0 && !send_message(context.socket, Message{.kind = Message::Kind::mounted})) ::_exit(0);
  }
}

// A cell for forks that come from outside, one after the other as long as none leaves a trace. Message queues can't be looked for, so the
// ipc namespace is always new.
[[noreturn]] void serve_forks(const ChildContext& context) {
  const int signals = child_signals();
  static CellTraces traces;
  traces.note(*context.plan);
  bool again = true;  // what is shown to one fork alone stays
  for (;;) {
    if (!send_message(context.socket, Message{.kind = Message::Kind::ready})) ::_exit(0);
    again &= !await_fork(context);
    const int status = watch_job(context, signals, 0);
    const bool alone = report_leftovers(context, 0) && no_other_process();
    Message ended{.kind = Message::Kind::ended, .value = status};
    ended.step = any_layer_full(*context.plan) ? 1 : 0;
    const bool own_network = (context.plan->namespaces & CLONE_NEWNET) != 0;
    // What still runs might touch it after we have looked.
    if (alone && own_network && network_untouched()) ended.phase |= Message::network_untouched;
    const bool clean = again && alone && (ended.phase != 0 || !own_network) && traces.none() && ::unshare(CLONE_NEWIPC) == 0;
    if (clean) ended.phase |= Message::untouched;
    if (!send_message(context.socket, ended) || !clean) ::_exit(0);
    const int ipc = ::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
    if (ipc < 0 || !send_message(context.socket, Message{.kind = Message::Kind::namespaces, .step = 1u << kIpcNamespace}, &ipc, 1))
      ::_exit(0);
    ::close(ipc);
  }
}

}  // namespace

void fail_with(const ChildContext& context, std::uint32_t phase, std::size_t step, int problem) {
  send_message(context.socket,
               Message{.kind = Message::Kind::failed, .phase = phase, .step = static_cast<std::uint32_t>(step), .value = problem});
  ::_exit(125);
}

pid_t start_job(ChildContext& context) {
  alignas(16) static char stack[64 << 10];
  constexpr auto run = [](void* given) -> int {
    ChildContext own = *static_cast<ChildContext*>(given);  // fd numbers change in the job's table, not in init's
    job_main(own);
  };
  return ::clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &context);
}

CommandBlock* map_command(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) < 0) return nullptr;
  void* memory = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* block = static_cast<CommandBlock*>(memory);
  block->relocate();
  return block;
}

bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

bool report_leftover(const ChildContext& context, int proc, int pid) {
  char stat[512];
  if (!read_process_file(proc, pid, "stat", stat, sizeof stat)) return false;
  const char* open = std::strchr(stat, '(');
  const char* close = std::strrchr(stat, ')');
  if (!open || !close || close < open) return false;
  if (close[1] != '\0' && close[2] == 'Z') return false;
  Message message{.kind = Message::Kind::leftover, .value = pid};
  const auto length = static_cast<std::size_t>(close - open - 1);
  std::memcpy(message.text, open + 1, length < 15 ? length : 15);
  send_message(context.socket, message);
  return true;
}

bool any_layer_full(const Plan& plan) {
  const auto full = [](const char* path) {
    struct statfs state{};
    return ::statfs(path, &state) == 0 && state.f_blocks > 0 && (state.f_bavail == 0 || state.f_ffree == 0);
  };
  if (full("/")) return true;
  for (const Step& step : plan.cell) {
    const bool empty_overlay = step.op == Step::Op::bind && step.source[0] == '.';  // a part of .layers
    const bool writable = step.op == Step::Op::overlay || empty_overlay || (step.op == Step::Op::mount && step.source == "tmpfs");
    if (writable && full(step.path.c_str())) return true;
  }
  return false;
}

int child_signals() {
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  return ::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
}

void begin_first_process(ChildContext& context, const char* name) {
  close_engine_fds(context);
  if (context.host_argv) std::memset(context.host_argv, 0, context.host_argv_bytes);
  ::prctl(PR_SET_NAME, name);
  reset_signals();
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  int problem = 0;
  const std::size_t failed = run_steps(context.plan->cell, context, problem);
  if (failed != context.plan->cell.size()) fail_with(context, 0, failed, problem);
}

void init_main(ChildContext& context) {
  begin_first_process(context, "casemate-init");
  if (context.plan->enterable) serve_forks(context);
  if (context.plan->serves_commands) serve_commands(context);
  if (!send_message(context.socket, Message{.kind = Message::Kind::ready})) ::_exit(0);

  Message message{};
  int fds[1 + kMostInherited];
  const int passed = receive_message(context.socket, message, fds, 1 + kMostInherited);
  if (passed < 0) ::_exit(0);
  if (message.kind == Message::Kind::signal) {  // before there is a job: it ends as one that has just begun would
    send_message(context.socket, Message{.kind = Message::Kind::ended, .value = message.value});
    ::_exit(0);
  }
  if (message.kind != Message::Kind::go) ::_exit(0);
  if (passed > 0) {
    context.command = map_command(fds[0]);
    ::close(fds[0]);
  }
  for (int i = 1; i < passed; ++i) context.inherited[context.inherited_count++] = fds[i];
  if (!context.command) fail_with(context, 1, context.plan->job.size() - 1, EINVAL);
  const int signals = child_signals();
  const pid_t job = start_job(context);
  if (job < 0) fail_with(context, 1, 0, errno);
  for (int i = 0; i < context.inherited_count; ++i) ::close(context.inherited[i]);
  for (int& standard : context.standard) {
    ::close(standard);
    standard = -1;
  }
  const int status = watch_job(context, signals, job);
  report_leftovers(context, job);
  const bool full = any_layer_full(*context.plan);
  send_message(context.socket, Message{.kind = Message::Kind::ended, .step = full ? 1u : 0u, .value = status});
  ::_exit(0);
}

}  // namespace casemate
