// command_init: pid 1 of a cell that stays and in which commands run one after the other. As init.cc says, but that nothing in the cell
// ends with a command: what it left running is a service for the next ones. A command is a session (setsid(2)), and that is what can be
// ended.
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/child.h"
#include "cell/init.h"
#include "cell/processes.h"

namespace casemate {
namespace {

constexpr int kQuickPasses = 20;         // over the processes of a session that is to end, before all of the cell is stopped for one
constexpr int kPassIntervalMs = 5;       // while they end
constexpr int kMostLooksOverLimit = 25;  // of services alone
constexpr unsigned short kTerminalRows = 24;
constexpr unsigned short kTerminalColumns = 80;

// Which processes were there at some moment: a bit a pid.
class KnownProcesses {
 public:
  // False if there is no memory for it.
  bool prepare() {
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bits_ = memory == MAP_FAILED ? nullptr : static_cast<unsigned char*>(memory);
    return bits_ != nullptr;
  }
  void note() {
    if (noted_) ::madvise(bits_, kBytes, MADV_DONTNEED);
    noted_ = !no_children();
    if (!noted_) return;
    each_process([this](int, int pid) {
      if (pid < kPids) bits_[pid / 8] = static_cast<unsigned char>(bits_[pid / 8] | 1u << pid % 8);
      return true;
    });
  }
  [[nodiscard]] bool has(int pid) const { return pid < kPids && (bits_[pid / 8] >> pid % 8 & 1) != 0; }

 private:
  static constexpr int kPids = 4 << 20;  // PID_MAX_LIMIT
  static constexpr std::size_t kBytes = kPids / 8;
  unsigned char* bits_ = nullptr;
  bool noted_ = false;
};

// Sends a signal to every process of a session; true if one of them still runs. Ends init where it can't look.
bool signal_session(pid_t session, int number) {
  bool running = false;
  char stat[1024];
  const bool seen = each_process([&](int proc, int pid) {
    if (!read_process_file(proc, pid, "stat", stat, sizeof stat)) return true;
    if (number_at(stat_field(stat, 6)) != static_cast<std::uint64_t>(session)) return true;
    // A process whose first thread alone has ended looks like a zombie.
    if (*stat_field(stat, 3) == 'Z' && number_at(stat_field(stat, 20)) <= 1) return true;
    running = true;
    ::kill(pid, number);
    return true;
  });
  if (!seen) ::_exit(1);
  return running;
}

// SIGKILL to all of a session, forks of it included; what dies may take a moment more.
void end_session(pid_t session) {
  const timespec pause{0, 1'000'000};
  for (int pass = 0; pass < kQuickPasses; ++pass) {
    if (!signal_session(session, SIGKILL)) return;
    ::nanosleep(&pause, nullptr);
  }
  // Who forks faster than we look, and who can't die just now. kill(2) of -1 takes all processes at once, those that are being forked too.
  ::kill(-1, SIGSTOP);
  signal_session(session, SIGKILL);
  ::kill(-1, SIGCONT);
}

// For the kernel's OOM killer init is as large as the engine, whose memory it shares, and may be the largest process of the cell. The next
// commands need it: those of a command go first. Raising a score needs no privilege (proc(5)); the process itself can't while its memory is
// init's, and so not dumpable.
void prefer_to_init(pid_t job) {
  const int proc = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int score = proc < 0 ? -1 : open_process_file(proc, job, "oom_score_adj", O_WRONLY);
  if (score >= 0) (void)!::write(score, "1000", 4);
  ::close(score);
  ::close(proc);
}

class CommandServer {
 public:
  explicit CommandServer(ChildContext& context) : context_(context) {}

  [[noreturn]] void serve() {
    for (int& standard : context_.standard) {
      ::close(standard);
      standard = -1;
    }
    signals_ = child_signals();
    // Nobody can put another there, as at /dev/pts itself.
    terminals_ = ::open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (signals_ < 0 || terminals_ < 0) fail_with(context_, 1, 0, errno);
    if (!known_.prepare()) fail_with(context_, 1, 0, ENOMEM);
    tell({.kind = Message::Kind::ready});
    for (;;) {
      int fds[4];
      const int count = await_command(fds);
      run(fds, count);
    }
  }

 private:
  void tell(const Message& message, const int* fds = nullptr, int count = 0) const {
    if (!send_message(context_.socket, message, fds, count)) ::_exit(0);
  }
  [[nodiscard]] bool watching() const { return context_.memory_watch_bytes > 0 || context_.cpu_watch_us > 0; }
  [[nodiscard]] bool over_memory() const {
    return context_.memory_watch_bytes > 0 && memory_in_use(context_.memory_watch_bytes) > context_.memory_watch_bytes;
  }

  // Reaps what has ended; true if the command's main process was among it.
  bool reap() {
    signalfd_siginfo info;
    while (::read(signals_, &info, sizeof info) > 0) {
    }
    bool ended = false;
    int status = 0;
    rusage used{};
    for (pid_t pid; (pid = ::wait4(-1, &status, WNOHANG, &used)) > 0;) {
      if (pid != job_) continue;
      ended = true;
      status_ = status;
      used_ = used;
    }
    return ended;
  }

  // Waits for something to happen, for at most `most` ms (-1: for ever): true if the engine has said something.
  bool wait(int most) {
    pollfd watched[2] = {{signals_, POLLIN, 0}, {context_.socket, POLLIN, 0}};
    const int ready = ::poll(watched, 2, most);
    if (ready < 0 && errno != EINTR) ::_exit(1);  // EINVAL: somebody has taken init's descriptors (RLIMIT_NOFILE)
    return ready > 0 && watched[1].revents != 0;
  }

  // Until there is one; gives the number of its descriptors.
  int await_command(int* fds) {
    job_ = 0;
    for (int over = 0;;) {
      reap();
      const bool said = wait(watching() ? kWatchIntervalMs : -1);
      if (watching()) over = over_memory() ? over + 1 : 0;
      if (over > kMostLooksOverLimit) {
        tell({.kind = Message::Kind::over_limit, .step = 0});
        ::_exit(0);
      }
      if (!said) continue;
      Message message{};
      const int count = receive_message(context_.socket, message, fds, 4);
      if (count < 0) ::_exit(0);
      if (message.kind == Message::Kind::go) return count;
      for (int i = 0; i < count; ++i) ::close(fds[i]);  // meant for a command that has just ended
    }
  }

  void run(const int* fds, int count) {
    known_.note();
    ending_ = false;
    if (context_.cpu_watch_us > 0) cpu_before_us_ = cpu_in_use_us();
    const int problem = begin(fds, count);
    for (int i = 0; i < count; ++i) ::close(fds[i]);  // the command alone has them: a pipe's end is its end
    if (problem != 0) {
      tell({.kind = Message::Kind::failed, .phase = 1, .step = 0, .value = problem});
      tell({.kind = Message::Kind::ended, .value = 125 << 8});
      return;
    }
    while (!reap()) watch_command();
    if (ending_) end_session(job_);
    report();
  }

  // Starts it; 0 or an errno.
  int begin(const int* fds, int count) {
    context_.terminal = count == 1;
    if (count != 1 && count != 4) return EINVAL;
    int terminal = -1;
    int master = -1;
    if (context_.terminal) {
      terminal = open_terminal(master);
      if (terminal < 0) return -terminal;
    }
    for (int i = 0; i < 3; ++i) context_.standard[i] = context_.terminal ? terminal : fds[i + 1];
    context_.command = map_command(fds[0]);
    int problem = context_.command ? 0 : EINVAL;
    if (context_.command) {
      job_ = start_job(context_);
      if (job_ < 0) problem = errno;
      if (job_ > 0) prefer_to_init(job_);
      ::munmap(context_.command, context_.command->bytes);
    }
    if (context_.terminal) {
      tell({.kind = Message::Kind::terminal}, &master, 1);  // only now: what is typed may be a signal, and then it has somebody to go to
      ::close(master);
      ::close(terminal);
    }
    for (int& standard : context_.standard) standard = -1;
    context_.command = nullptr;
    return problem;
  }

  // A terminal of the cell's own, which belongs to the command's user: gives its end, and what is for the engine. A negative errno.
  int open_terminal(int& master) const {
    master = ::openat(terminals_, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) return -errno;
    const int unlocked = 0;
    const winsize size{kTerminalRows, kTerminalColumns, 0, 0};
    int terminal = -1;
    if (::ioctl(master, TIOCSPTLCK, &unlocked) == 0 && ::ioctl(master, TIOCSWINSZ, &size) == 0)
      terminal = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);  // Linux 4.13
    int problem = terminal < 0 ? errno : 0;
    for (const Step& step : context_.plan->job) {
      if (problem == 0 && step.op == Step::Op::identity && ::fchown(terminal, static_cast<uid_t>(step.number), static_cast<gid_t>(-1)) < 0)
        problem = errno;
    }
    if (problem == 0) return terminal;
    ::close(master);
    if (terminal >= 0) ::close(terminal);
    return -problem;
  }

  void watch_command() {
    const bool said = wait(ending_ ? kPassIntervalMs : watching() ? kWatchIntervalMs : -1);
    if (ending_) signal_session(job_, SIGKILL);
    if (!ending_ && watching()) look();
    if (!said) return;
    Message message{};
    if (receive_message(context_.socket, message, nullptr, 0) < 0) ::_exit(0);
    if (message.kind == Message::Kind::signal) signal_session(job_, message.value);
    if (message.kind == Message::Kind::end_command) end();
  }

  void end() {
    ending_ = true;
    end_session(job_);
  }

  // At what no cgroup holds.
  void look() {
    const bool memory = over_memory();
    if (!memory && (context_.cpu_watch_us == 0 || cpu_in_use_us() - cpu_before_us_ <= context_.cpu_watch_us)) return;
    tell({.kind = Message::Kind::over_limit, .step = memory ? 0u : 1u});
    end();
  }

  void report() const {
    int reported = 0;
    if (!no_children()) {
      each_process([&](int proc, int pid) {
        if (pid != job_ && !known_.has(pid) && report_leftover(context_, proc, pid)) ++reported;
        return reported < kMostLeftovers;
      });
    }
    const auto microseconds = [](const timeval& time) {
      return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
    };
    const std::uint64_t cpu[2] = {microseconds(used_.ru_utime), microseconds(used_.ru_stime)};
    Message used{.kind = Message::Kind::used,
                 .phase = static_cast<std::uint32_t>(used_.ru_minflt),
                 .step = static_cast<std::uint32_t>(used_.ru_maxrss),
                 .value = static_cast<std::int32_t>(used_.ru_majflt)};
    std::memcpy(used.text, cpu, sizeof cpu);
    tell(used);
    const bool full = any_layer_full(*context_.plan);
    tell({.kind = Message::Kind::ended, .step = full ? 1u : 0u, .value = status_});
  }

  ChildContext& context_;
  KnownProcesses known_;
  int signals_ = -1;
  int terminals_ = -1;
  pid_t job_ = 0;
  int status_ = 0;
  rusage used_{};
  bool ending_ = false;
  std::uint64_t cpu_before_us_ = 0;
};

}  // namespace

void serve_commands(ChildContext& context) { CommandServer(context).serve(); }

}  // namespace casemate
