#include "engine/command_run.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

constexpr auto kCpuLook = std::chrono::milliseconds(50);
constexpr auto kTypingPause = std::chrono::milliseconds(2);
constexpr auto kPatience = std::chrono::seconds(10);  // with a process that SIGKILL does not end

// At the start of a line the terminal takes it for the end of input (termios(3), VEOF), else for the end of what was typed.
constexpr char kEndOfInput = '\x04';

}  // namespace

CommandRun::CommandRun(Reactor& reactor, Cell& cell, const Job& context, ContextCommand command, JobListener& listener)
    : reactor_(reactor),
      cell_(cell),
      context_(context),
      command_(std::move(command)),
      capture_(command_.capture_bytes),
      listener_(listener) {}

Result<void> CommandRun::open_pipes(UniqueFd& out, UniqueFd& err) {
  TRY_ASSIGN(Pipe first, make_pipe());
  TRY_ASSIGN(Pipe second, make_pipe());
  // As Cell's own: the command is another user, who may open /dev/stdout.
  for (const UniqueFd* end : {&first.write, &second.write}) ::fchmod(end->get(), 0666);
  for (const UniqueFd* end : {&first.read, &second.read}) ::fcntl(end->get(), F_SETFL, O_NONBLOCK);
  out_ = std::move(first.read);
  err_ = std::move(second.read);
  out = std::move(first.write);
  err = std::move(second.write);
  return {};
}

Result<void> CommandRun::start(const Job& what) {
  cwd_ = what.cwd;
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  std::vector<int> standard;
  if (command_.terminal) {
    typing_ = std::move(command_.input);
    if (!typing_.empty() && typing_.back() != '\n') typing_ += kEndOfInput;
    typing_ += kEndOfInput;
  } else {
    // A file has an end, and nobody has to write while it is read.
    if (command_.input.empty()) {
      TRY_ASSIGN(in, open_file("/dev/null", O_RDONLY));
    } else {
      TRY_ASSIGN(in, sealed_memory("casemate-input", command_.input));
      if (::lseek(in.get(), 0, SEEK_SET) < 0) return fail_errno("prepare a command's input");
    }
    TRY(open_pipes(out, err));
    standard = {in.get(), out.get(), err.get()};
    output_.emplace(reactor_, OutputReader::Ends{out_, err_}, listener_, capture_, command_.output_bytes, [this] { end(); });
    TRY(output_->watch());
  }
  if (Cgroup* cgroup = cell_.cgroup()) {
    cgroup->forget_memory_peak();
    before_ = cgroup->usage();
  }
  TRY(cell_.command(what, standard));
  started_ = true;
  began_ = Clock::now();
  set_deadline();
  watch_cpu();
  return {};
}

void CommandRun::set_deadline() {
  if (!command_.wall) return;
  deadline_ = reactor_.schedule(began_ + *command_.wall, [this] {
    deadline_.reset();
    timed_out_ = true;
    end();
  });
}

// What init can't see, and where it does not look.
void CommandRun::watch_cpu() {
  if (!context_.limits.cpu_time || !cell_.cgroup()) return;
  cpu_watch_ = reactor_.schedule(Clock::now() + kCpuLook, [this] {
    cpu_watch_.reset();
    const auto used = cell_.cgroup()->cpu_us();
    if (!used) return;
    const std::uint64_t before = before_.user_cpu_us.value_or(0) + before_.system_cpu_us.value_or(0);
    if (std::chrono::microseconds(*used - std::min(*used, before)) <= *context_.limits.cpu_time) return watch_cpu();
    cpu_timed_out_ = true;
    end();
  });
}

void CommandRun::take_terminal() {
  if (!command_.terminal || output_ || ended_ || !cell_.terminal()) return;
  output_.emplace(reactor_, OutputReader::Ends{cell_.terminal(), err_}, listener_, capture_, command_.output_bytes, [this] { end(); });
  if (!output_->watch()) return end();
  type();
}

// A terminal takes only so much before somebody reads.
void CommandRun::type() {
  while (typed_ < typing_.size() && cell_.terminal()) {
    const ssize_t put = ::write(cell_.terminal().get(), typing_.data() + typed_, typing_.size() - typed_);
    if (put > 0) {
      typed_ += static_cast<std::size_t>(put);
      continue;
    }
    if (put < 0 && errno != EAGAIN && errno != EINTR) return;  // nobody has it open any more
    typing_pause_ = reactor_.schedule(Clock::now() + kTypingPause, [this] {
      typing_pause_.reset();
      type();
    });
    return;
  }
}

void CommandRun::signal(int number) {
  if (started_ && !ended_) cell_.signal(number);
}

void CommandRun::cancel() {
  cancelled_ = true;
  end();
}

void CommandRun::end_for_disk(DiskWatch::Problem problem) {
  disk_problem_ = std::move(problem);
  end();
}

void CommandRun::end() {
  if (!started_ || ended_ || patience_) return;
  cell_.end_command();
  patience_ = reactor_.schedule(Clock::now() + kPatience, [this] {
    patience_.reset();
    gave_up_ = true;
    cell_.kill();
  });
}

void CommandRun::unwatch() {
  if (output_) output_->stop();
  for (std::optional<Reactor::TimerId>* timer : {&deadline_, &patience_, &cpu_watch_, &typing_pause_}) {
    if (*timer) reactor_.cancel(**timer);
    timer->reset();
  }
}

JobResult CommandRun::finish(CellReport& report, const std::string& lost) {
  const auto ended = Clock::now();
  ended_ = true;
  unwatch();
  if (output_ && command_.terminal) output_->drain_terminal();
  if (output_ && !command_.terminal) output_->drain();
  if (cell_.cgroup()) after_ = cell_.cgroup()->usage();
  JobResult result;
  result.outcome = outcome(report, lost);
  if (report.wait_status && !report.failure && WIFEXITED(*report.wait_status)) result.exit_status = WEXITSTATUS(*report.wait_status);
  result.resources = resources(report, ended);
  result.output = capture_.take();
  result.leftovers = std::move(report.leftovers);
  result.notes = cell_.notes();
  output_.reset();
  cell_.terminal().reset();
  return result;
}

// How much more there is than when it began.
std::uint64_t CommandRun::counted(std::optional<std::uint64_t> CgroupUsage::* what) const {
  const std::uint64_t before = (before_.*what).value_or(0);
  return std::max((after_.*what).value_or(0), before) - before;
}

Outcome CommandRun::outcome(const CellReport& report, const std::string& lost) const {
  using Kind = Outcome::Kind;
  const Limits& limits = context_.limits;
  const bool oom = counted(&CgroupUsage::oom_kills) > 0;
  const bool refused = counted(&CgroupUsage::pids_refused) > 0;
  const auto many_processes = [&](int code, const std::string& then) {
    return Outcome{Kind::too_many_processes, code, "", fmt::format("limit {}, then {}", limits.pids.value_or(0), then)};
  };
  if (cancelled_) return {Kind::cancelled};
  if (report.failure && report.failure->value == EAGAIN && refused) return many_processes(0, "it could not be started");
  if (report.failure) return setup_failure(*report.failure);
  if (timed_out_) return {Kind::timed_out, 0, "", fmt::format("wall time {}", format_duration(*command_.wall))};
  if (!disk_problem_.text.empty()) return {Kind::disk_limit, 0, disk_problem_.step, disk_problem_.text};
  if (output_ && output_->over_limit())
    return {Kind::output_limit, 0, "", fmt::format("more than {}", format_bytes(*command_.output_bytes))};
  if (cpu_timed_out_ || report.over_limit == 1u) return cpu_timed_out();
  const Outcome out_of_memory{Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(limits.memory_bytes.value_or(0)))};
  if (!report.wait_status) return {Kind::lost, 0, "", oom ? lost + ", when the context was out of memory" : lost};
  if (report.over_limit == 0u) return out_of_memory;
  const int status = *report.wait_status;
  Outcome plain = WIFSIGNALED(status) ? Outcome{Kind::signaled, WTERMSIG(status)} : Outcome{Kind::exited, WEXITSTATUS(status)};
  if (plain.succeeded() && !refused) return plain;
  if (oom && !plain.succeeded()) return out_of_memory;
  if (plain.kind == Kind::signaled && plain.code == SIGXCPU && limits.cpu_time) return cpu_timed_out();
  if (refused) return many_processes(plain.code, words(plain));
  if (report.disk_full) return {Kind::disk_limit, plain.code, "", fmt::format("a writable layer was full, then {}", words(plain))};
  return plain;
}

Outcome CommandRun::setup_failure(const Message& failure) const {
  const auto& steps = cell_.plan().job;
  Outcome outcome{Outcome::Kind::setup_failed, failure.value};
  if (failure.step >= steps.size()) return outcome;
  const Step& step = steps[failure.step];
  outcome.step = describe(step, cell_.plan());
  if (step.op == Step::Op::execute) outcome.step = "execve " + printable_name(command_.argv[0]);
  if (step.op == Step::Op::change_directory) outcome.step = "chdir " + printable_name(cwd_);
  return outcome;
}

Outcome CommandRun::cpu_timed_out() const {
  return {Outcome::Kind::timed_out, 0, "", fmt::format("CPU time {}", format_duration(*context_.limits.cpu_time))};
}

Resources CommandRun::resources(const CellReport& report, Clock::time_point ended) const {
  Resources used;
  const ProcessEnd main = report.used.value_or(ProcessEnd{});
  used.wall = std::chrono::duration_cast<std::chrono::microseconds>(ended - began_);
  used.user_cpu = std::chrono::microseconds(main.user_us);
  used.system_cpu = std::chrono::microseconds(main.system_us);
  if (after_.user_cpu_us && after_.system_cpu_us) {
    // The sum is exact, how it is split is a share of all that the context used: each part alone may seem to go back.
    const std::uint64_t before = before_.user_cpu_us.value_or(0) + before_.system_cpu_us.value_or(0);
    const std::uint64_t all = std::max(*after_.user_cpu_us + *after_.system_cpu_us, before) - before;
    const std::uint64_t user = std::min(counted(&CgroupUsage::user_cpu_us), all);
    used.user_cpu = std::chrono::microseconds(user);
    used.system_cpu = std::chrono::microseconds(all - user);
  }
  used.peak_memory_bytes = after_.peak_memory_bytes;
  if (!used.peak_memory_bytes) used.peak_memory_bytes = static_cast<std::uint64_t>(main.max_rss_bytes);
  if (after_.read_bytes) used.read_bytes = counted(&CgroupUsage::read_bytes);
  if (after_.written_bytes) used.written_bytes = counted(&CgroupUsage::written_bytes);
  // It can't be set back: one that has not grown says nothing of this command.
  if (counted(&CgroupUsage::peak_pids) > 0) used.peak_pids = after_.peak_pids;
  used.major_faults = main.major_faults;
  used.minor_faults = main.minor_faults;
  return used;
}

}  // namespace casemate
