#include "witness/action.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/fd.h"
#include "sys/path.h"
#include "sys/seccomp.h"
#include "witness/action_report.h"
#include "witness/changed_places.h"
#include "witness/order.h"
#include "witness/ordered_places.h"
#include "witness/process_list.h"
#include "witness/process_watch.h"
#include "witness/spot_check.h"
#include "witness/user_namespace.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLongestOrder = 64u << 20;
constexpr std::size_t kMostLeftovers = 16;
constexpr std::uint64_t kMostReported = 256ull << 20;  // of descriptor 3
constexpr int kReport = 3;
constexpr auto kKillTime = std::chrono::seconds(10);
constexpr int kNotStarted = 125;

// What a child that could not become the job says to its parent.
struct Hindrance {
  enum Step : int { none, execute, directory, user, filter, lonely } step = none;
  int problem = 0;
};

class OrderedRun {
 public:
  OrderedRun(WitnessOrder order, OrderedPlaces& places) : order_(std::move(order)), places_(places), watch_(order_.limits) {}

  ActionReport& report() { return report_; }

  /// False: nothing was started, the report says why.
  bool start() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!watch_.sees_all()) note("there is no /proc of the worker's processes: what the job leaves behind is not found");
    if (order_.lonely && places_.has_network()) lonely_ = can_leave_network();
    if (!order_.collect.empty()) {
      auto looked = ChangedPlaces::look(order_.collect);
      if (!looked) return failed("look at what is to be collected", looked.error().errno_value, looked.error().what);
      before_ = std::move(*looked);
    }
    Hindrance hindrance;
    if (const int problem = launch(hindrance)) return failed("start the job", problem, "");
    if (hindrance.step == Hindrance::none) return true;
    end_all();
    switch (hindrance.step) {
      case Hindrance::execute:
        report_.job.exec_errno = hindrance.problem;
        return false;
      case Hindrance::directory:
        return failed("change to the directory " + printable_name(order_.cwd), hindrance.problem, "");
      case Hindrance::user:
        return failed(
            fmt::format("become user {}:{}", order_.user->uid, order_.user->gid), hindrance.problem,
            "the engine's workers give an action no other user than theirs; leave --user out, or ask the engine for that user by a "
            "property");
      default:
        return failed("install the seccomp filter 'strict'", hindrance.problem, "");
    }
  }

  /// To the end of the last process.
  void run() {
    while (!ended_) turn();
    // One that ends quickly may have been over its limits between two looks.
    if (report_.ended_for == EndedFor::nothing) report_.ended_for = watch_.last_look(::getpid());
    const auto wall = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
    report_.job.wall_us = static_cast<std::uint64_t>(wall.count());
    if (report_.ended_for == EndedFor::nothing) {
      for (const SeenProcess& left : descendants(::getpid())) {
        if (report_.job.leftovers.size() < kMostLeftovers) report_.job.leftovers.push_back({left.pid, left.facts.name});
      }
    }
    end_all();
    drain();
    count_use();
    decide();
  }

  /// What the job left, into casemate's own directory.
  void deliver(int own) {
    if (before_) {
      const UniqueFd contents(::openat(own, "changes", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (contents) before_->take(contents.get(), report_);
    }
    OrderedPlaces::Written written = places_.written(order_.collect);
    written.files += report_.changes.size();
    for (const ChangedPath& change : report_.changes) written.bytes += change.kind == ChangedPath::Kind::file ? change.size : 0;
    const Limits& limits = order_.limits;
    if (limits.disk_bytes && written.bytes >= *limits.disk_bytes) report_.job.disk_full = true;
    if (limits.disk_inodes && written.files >= *limits.disk_inodes) report_.job.disk_full = true;
    if (report_.ended_for == EndedFor::nothing && report_.setup_step.empty()) {
      if (limits.disk_bytes && written.bytes > *limits.disk_bytes)
        report_.ended_for = EndedFor::disk;
      else if (limits.disk_inodes && written.files > *limits.disk_inodes)
        report_.ended_for = EndedFor::files;
    }
    if (places_.full()) report_.job.disk_full = true;
    if (!reports_) return;
    const UniqueFd kept(::openat(own, "reports", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    ::lseek(reports_.get(), 0, SEEK_SET);
    while (kept && ::sendfile(kept.get(), reports_.get(), nullptr, 1u << 30) > 0) {
    }
  }

 private:
  void note(std::string text) { report_.notes.push_back(std::move(text)); }

  bool failed(std::string step, int problem, std::string detail) {
    report_.setup_step = std::move(step);
    report_.setup_errno = problem;
    report_.setup_detail = std::move(detail);
    return false;
  }

  // Tried beforehand, for the job is to be told of it.
  bool can_leave_network() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(enter_user_namespace(CLONE_NEWNET) == 0 ? 0 : 1);
    int status = 0;
    const bool can = child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
    if (!can) note("the engine's workers have a network that the job could not be kept out of");
    return can;
  }

  int launch(Hindrance& hindrance) {
    auto out = make_pipe();
    auto err = make_pipe();
    auto word = make_pipe();
    auto report = make_pipe();
    if (!out || !err || !word || !report) return errno;
    const UniqueFd input(::open(order_.has_stdin ? std::string(kActionStdin).c_str() : "/dev/null", O_RDONLY | O_CLOEXEC));
    sigset_t all;
    ::sigfillset(&all);
    signals_.reset(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
    if (order_.reports) reports_.reset(::memfd_create("casemate-reports", MFD_CLOEXEC));
    if (!input || !signals_ || (order_.reports && !reports_)) return errno;
    began_ = Clock::now();
    child_ = ::fork();
    if (child_ < 0) return errno;
    if (child_ == 0) {
      ::dup2(input.get(), STDIN_FILENO);
      ::dup2(out->write.get(), STDOUT_FILENO);
      ::dup2(err->write.get(), STDERR_FILENO);
      // Among the first descriptors by now, whichever these are.
      const UniqueFd to_parent(::fcntl(word->write.get(), F_DUPFD_CLOEXEC, 10));
      if (order_.reports) ::dup2(report->write.get(), kReport);
      const Hindrance hindered = become();
      [[maybe_unused]] const auto told = ::write(to_parent.get(), &hindered, sizeof hindered);
      ::_exit(127);
    }
    word->write.reset();
    if (::read(word->read.get(), &hindrance, sizeof hindrance) != sizeof hindrance) hindrance = {};
    for (auto& [stream, pipe] : {std::pair(Stream::out, &out), std::pair(Stream::err, &err)}) {
      (stream == Stream::out ? out_ : err_) = std::move((*pipe)->read);
    }
    if (order_.reports) report_pipe_ = std::move(report->read);
    for (const UniqueFd* each : {&out_, &err_, &report_pipe_}) {
      if (*each) ::fcntl(each->get(), F_SETFL, O_NONBLOCK);
    }
    return 0;
  }

  void limit(int resource, std::uint64_t value) const {
    rlimit now{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &now) < 0) return;
    rlimit wanted{};
    wanted.rlim_cur = wanted.rlim_max = std::min<rlim_t>(value, now.rlim_max);
    (void)::setrlimit(static_cast<__rlimit_resource_t>(resource), &wanted);
  }

  // In the child. Comes back only with what hindered it.
  Hindrance become() {
    ::setsid();
    if (order_.lonely && lonely_) {
      if (const int problem = enter_user_namespace(CLONE_NEWNET)) return {Hindrance::lonely, problem};
    }
    const Limits& limits = order_.limits;
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, limits.open_files.value_or(1024));
    if (limits.file_bytes || limits.disk_bytes)
      limit(RLIMIT_FSIZE, std::min(limits.file_bytes.value_or(~0ull), limits.disk_bytes.value_or(~0ull)));
    if (limits.cpu_time) limit(RLIMIT_CPU, static_cast<std::uint64_t>(limits.cpu_time->count()) / 1000 + 1);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    // What is over the disk limit is an error to the writer, as in a full file system, and not the writer's end.
    if (limits.disk_bytes && limits.disk_bytes <= limits.file_bytes.value_or(~0ull)) ::signal(SIGXFSZ, SIG_IGN);
    for (int capability = 0; ::prctl(PR_CAPBSET_DROP, capability) == 0; ++capability) {
    }
    if (order_.user && (::geteuid() != order_.user->uid || ::getegid() != order_.user->gid)) {
      if (::setgroups(0, nullptr) < 0 || ::setresgid(order_.user->gid, order_.user->gid, order_.user->gid) < 0 ||
          ::setresuid(order_.user->uid, order_.user->uid, order_.user->uid) < 0)
        return {Hindrance::user, errno};
    }
    if (::chdir(order_.cwd.c_str()) < 0) return {Hindrance::directory, errno};
    ::clearenv();
    for (const auto& [name, value] : order_.env) ::setenv(name.c_str(), value.c_str(), 1);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (order_.strict) {
      const FilterChoice choice{.memory_is_watched = limits.memory_bytes.has_value()};
      if (const int problem = install_seccomp(seccomp_program(Profile::strict, choice))) return {Hindrance::filter, problem};
    }
    return {Hindrance::execute, execute_command(order_.argv)};
  }

  // Waits until something happens, or it is time to look at the processes again.
  void turn() {
    const auto pause = std::chrono::duration_cast<std::chrono::milliseconds>(watch_.next_look(began_) - Clock::now());
    pollfd wanted[] = {{signals_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}, {report_pipe_.get(), POLLIN, 0}};
    if (::poll(wanted, 4, static_cast<int>(std::max<std::int64_t>(pause.count(), 0))) < 0 && errno != EINTR) ::usleep(1000);
    if (wanted[3].revents != 0) keep_reports();
    if (wanted[1].revents != 0) pass_on(Stream::out);
    if (wanted[2].revents != 0) pass_on(Stream::err);
    if (wanted[0].revents != 0) take_signals();
    reap();
    if (ended_ || report_.ended_for != EndedFor::nothing) return;
    const EndedFor reason = watch_.look(began_, ::getpid());
    if (reason != EndedFor::nothing) return give_up(reason);
    if (order_.limits.disk_bytes && places_.mounted_bytes() > *order_.limits.disk_bytes) give_up(EndedFor::disk);
  }

  // Of the engine, which wants the action to end: there is nothing to report then.
  void take_signals() {
    for (signalfd_siginfo info{}; ::read(signals_.get(), &info, sizeof info) == sizeof info;) {
      const auto number = static_cast<int>(info.ssi_signo);
      if (number == SIGCHLD || number == SIGPIPE || number == SIGWINCH || number == SIGCONT) continue;
      end_all();
      ::_exit(128 + number);
    }
  }

  void reap() {
    int status = 0;
    for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended != child_) continue;
      ended_ = true;
      status_ = status;
    }
  }

  void give_up(EndedFor reason) {
    if (report_.ended_for != EndedFor::nothing) return;
    report_.ended_for = reason;
    end_all();
  }

  void pass_on(Stream stream) {
    UniqueFd& from = stream == Stream::out ? out_ : err_;
    char bytes[64u << 10];
    const ssize_t got = from ? ::read(from.get(), bytes, sizeof bytes) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return from.reset();
    auto size = static_cast<std::uint64_t>(got);
    const bool over = order_.limits.output_bytes && size > *order_.limits.output_bytes - passed_;
    if (over) size = *order_.limits.output_bytes - passed_;
    if (size > 0) {
      passed_ += size;
      (void)write_all(stream == Stream::out ? STDOUT_FILENO : STDERR_FILENO, {bytes, size});
      if (!report_.turns.empty() && report_.turns.back().stream == stream) {
        report_.turns.back().bytes += size;
      } else if (report_.turns.size() < kMostTurns) {
        report_.turns.push_back({stream, size});
      }
    }
    if (!over) return;
    give_up(EndedFor::output);
    out_.reset();
    err_.reset();
  }

  void keep_reports() {
    char bytes[64u << 10];
    const ssize_t got = report_pipe_ ? ::read(report_pipe_.get(), bytes, sizeof bytes) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return report_pipe_.reset();
    reported_ += static_cast<std::uint64_t>(got);
    if (reported_ > kMostReported) {
      report_.reports_cut = true;
    } else {
      (void)write_all(reports_.get(), {bytes, static_cast<std::size_t>(got)});
    }
  }

  // What is still in the pipes, whose writers are dead.
  void drain() {
    const auto drained = [&](UniqueFd& from, const auto& read) {
      pollfd wanted{from.get(), POLLIN, 0};
      while (from && ::poll(&wanted, 1, 0) > 0) {
        read();
        wanted.fd = from.get();
      }
    };
    drained(report_pipe_, [&] { keep_reports(); });
    drained(out_, [&] { pass_on(Stream::out); });
    drained(err_, [&] { pass_on(Stream::err); });
  }

  // Again, for those that fork meanwhile: a process whose parent dies becomes ours.
  void end_all() {
    const auto until = Clock::now() + kKillTime;
    for (;;) {
      const auto left = descendants(::getpid());
      for (const SeenProcess& each : left) ::kill(each.pid, SIGKILL);
      if (child_ > 0 && !ended_) ::kill(child_, SIGKILL);
      reap();
      if (left.empty() && (ended_ || child_ <= 0)) return;
      if (Clock::now() > until) return note("the job left processes that could not be ended");
      ::usleep(500);
    }
  }

  void count_use() {
    rusage used{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    const auto microseconds = [](const timeval& time) {
      return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
    };
    WitnessReport& job = report_.job;
    job.user_cpu_us = microseconds(used.ru_utime);
    job.system_cpu_us = microseconds(used.ru_stime);
    job.major_faults = static_cast<std::uint64_t>(used.ru_majflt);
    job.minor_faults = static_cast<std::uint64_t>(used.ru_minflt);
    const std::uint64_t largest = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
    job.peak_memory_bytes = std::max(largest, watch_.peak_memory());
    job.peak_pids = std::max<std::uint64_t>(1, watch_.peak_pids());
    // One that was larger than the limit between two looks.
    if (order_.limits.memory_bytes && largest > *order_.limits.memory_bytes && report_.ended_for == EndedFor::nothing)
      report_.ended_for = EndedFor::memory;
    if (order_.limits.cpu_time && report_.ended_for == EndedFor::nothing && WIFSIGNALED(status_) &&
        (WTERMSIG(status_) == SIGXCPU || WTERMSIG(status_) == SIGKILL) &&
        job.user_cpu_us + job.system_cpu_us >= static_cast<std::uint64_t>(order_.limits.cpu_time->count()) * 1000)
      report_.ended_for = EndedFor::cpu_time;
  }

  void decide() {
    if (report_.ended_for != EndedFor::nothing) {
      report_.job.leftovers.clear();
    } else if (WIFSIGNALED(status_)) {
      report_.job.signal = WTERMSIG(status_);
    } else {
      report_.job.exit_status = WEXITSTATUS(status_);
    }
  }

  WitnessOrder order_;
  OrderedPlaces& places_;
  ProcessWatch watch_;
  ActionReport report_;
  std::optional<ChangedPlaces> before_;
  UniqueFd signals_, out_, err_, report_pipe_, reports_;
  Clock::time_point began_ = Clock::now();
  pid_t child_ = -1;
  bool ended_ = false;
  bool lonely_ = false;
  int status_ = 0;
  std::uint64_t passed_ = 0, reported_ = 0;
};

// Only what nobody but the witness wrote is to be found under these names.
void leave(ActionReport& report, int own) {
  const UniqueFd file(::openat(own, "result", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file || !write_all(file.get(), report_bytes(report))) {
    (void)write_all(STDERR_FILENO, fmt::format("casemate-witness: can't write the result: {}\n", std::strerror(errno)));
    ::_exit(kNotStarted);
  }
}

}  // namespace

int witness_action(const std::string& path) {
  ::prctl(PR_SET_DUMPABLE, 0);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::umask(022);
  const auto refuse = [](const std::string& why) {
    (void)write_all(STDERR_FILENO, "casemate-witness: " + printable_line(why) + "\n");
    return kNotStarted;
  };
  const auto bytes = read_file(path, kLongestOrder);
  if (!bytes) return refuse(bytes.error().what);
  auto order = read_order(*bytes);
  if (!order) return refuse(order.error().what);
  auto places = OrderedPlaces::open();
  if (!places) return refuse(places.error().what);
  OrderedRun run(*order, *places);
  auto made = places->make(*order);
  if (made) made = check_spots(*order);
  if (!made) {
    run.report().setup_step = made.error().where;
    run.report().setup_errno = made.error().errno_value;
    run.report().setup_detail = made.error().what;
  } else if (run.start()) {
    run.run();
  }
  const auto own = places->clear_own();
  if (!own) return refuse(own.error().what);
  run.deliver(own->get());
  leave(run.report(), own->get());
  places->take_back();
  return exit_code_of(run.report());
}

}  // namespace casemate
