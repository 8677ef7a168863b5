#include "engine/cell_run.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/terminal.h"
#include "base/units.h"
#include "engine/collect.h"
#include "engine/delivery.h"
#include "sys/thread.h"

namespace casemate {
namespace {

constexpr auto kSetupTime = std::chrono::seconds(60);
constexpr auto kCpuLook = std::chrono::milliseconds(50);

thread_local char read_buffer[64 << 10];  // an engine is one thread's; what is read is passed on before the next read

}  // namespace

CellRun::CellRun(Reactor& reactor, const CellGround& ground, Job job, JobListener& listener, Done done)
    : reactor_(reactor),
      ground_(ground),
      job_(std::move(job)),
      listener_(&listener),
      done_(std::move(done)),
      capture_(job_.capture_bytes) {}

Result<std::unique_ptr<CellRun>> CellRun::create(Reactor& reactor, const CellGround& ground, Job job, const Plan& plan,
                                                 JobListener& listener, Done done) {
  if (plan.collected.size() > 1 && std::find(plan.collected.begin(), plan.collected.end(), "/") != plan.collected.end())
    return fail(ErrorCode::invalid_input, "changes of '/' are collected alone: other directories lie below it");
  std::unique_ptr<CellRun> run(new CellRun(reactor, ground, std::move(job), listener, std::move(done)));
  TRY(run->open_destinations(plan));
  return run;
}

Result<void> CellRun::open_destinations(const Plan& plan) {
  if (job_.collect_to.empty() || plan.collected.empty()) return {};
  TRY_ASSIGN(Delivery delivery, Delivery::open(job_.collect_to));
  UniqueFd root = std::move(delivery).take_root();
  if (plan.collected.size() == 1) {
    destinations_.push_back(std::move(root));
    return {};
  }
  for (const std::string& place : plan.collected) {
    auto directory = make_directories_beneath(root.get(), place.substr(1));
    if (!directory)
      return fail_errno(fmt::format("make {} in {}", printable_name(place.substr(1)), printable_name(job_.collect_to)), directory.error());
    destinations_.push_back(std::move(*directory));
  }
  return {};
}

Result<void> CellRun::begin(std::unique_ptr<Cell> cell, const std::vector<int>& inherited) {
  cell_ = std::move(cell);
  TRY(watch_cell());
  if (!cell_->plan().outbound) return cell_->start(job_, inherited);
  for (const int fd : inherited) {  // until there is a network
    inherited_.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!inherited_.back()) return fail_errno("keep a descriptor for a job");
  }
  return {};
}

Result<void> CellRun::await(std::unique_ptr<Cell> cell, std::function<void(CellRun&)> ready) {
  cell_ = std::move(cell);
  ready_ = std::move(ready);
  for_fork_ = true;
  TRY(watch_cell());
  if (!cell_->ready()) return {};
  report_.ready = true;  // it has served before
  messages();
  return {};
}

Result<void> CellRun::watch_cell() {
  TRY(reactor_.watch(cell_->socket(), [this] { messages(); }));
  // A warm parent that is none of ours may keep the other ends, and write for ever: at the end only what is there is taken.
  output_.emplace(reactor_, OutputReader::Ends{cell_->out(), cell_->err()}, *listener_, capture_, job_.limits.output_bytes,
                  [this] { cell_->kill(); });
  TRY(output_->watch());
  reports_ = static_cast<bool>(cell_->report());
  if (cell_->report()) {
    TRY(reactor_.watch(cell_->report().get(), [this] {
      if (take_report() || errno == EAGAIN || errno == EINTR) return;
      reactor_.unwatch(cell_->report().get());
      cell_->report().reset();
    }));
  }
  TRY(reactor_.watch(cell_->process().pidfd(), [this] { finish(); }));
  TRY(watch_disk());
  deadline_ = reactor_.schedule(Clock::now() + kSetupTime, [this] {
    deadline_.reset();
    setup_timed_out_ = true;
    cell_->kill();
  });
  return {};
}

void CellRun::forked() {
  set_deadline();
  cell_->adopt();
}

void CellRun::fork_ended(int wait_status, const ProcessEnd& end) {
  fork_end_ = end;
  cell_->finish(wait_status);
}

void CellRun::give_up(Outcome outcome) {
  if (!given_up_) given_up_ = std::move(outcome);
  cell_->kill();
}

void CellRun::signal(int number) {
  collector_.request_stop();  // a job that has ended hears no signal
  cell_->signal(number);
}

void CellRun::cancel() {
  cancelled_ = true;
  collector_.request_stop();
  cell_->kill();
}

// From here the job's own clock runs.
void CellRun::set_deadline() {
  started_ = true;
  began_ = Clock::now();
  if (deadline_) reactor_.cancel(*deadline_);
  deadline_.reset();
  watch_cpu();
  if (!job_.limits.wall) return;
  deadline_ = reactor_.schedule(began_ + *job_.limits.wall, [this] {
    deadline_.reset();
    timed_out_ = true;
    cell_->kill();
  });
}

// Init adds up what it can see; children that nobody waits for (SIGCHLD ignored) only the cgroup counts.
void CellRun::watch_cpu() {
  if (!job_.limits.cpu_time || !cell_->cgroup()) return;
  cpu_watch_ = reactor_.schedule(Clock::now() + kCpuLook, [this] {
    cpu_watch_.reset();
    const auto used = cell_->cgroup()->cpu_us();
    if (!used) return;
    if (std::chrono::microseconds(*used) <= *job_.limits.cpu_time) return watch_cpu();
    report_.over_limit = 1;
    cell_->kill();
  });
}

Result<void> CellRun::watch_disk() {
  TRY_ASSIGN(disk_watch_, DiskWatch::begin(job_));
  if (!disk_watch_) return {};
  return reactor_.watch(disk_watch_->fd(), [this] {
    reactor_.unwatch(disk_watch_->fd());
    disk_problem_ = disk_watch_->problem();
    cell_->kill();
  });
}

void CellRun::messages() {
  const bool open = cell_->receive(report_);
  if (cell_->plan().outbound && cell_->network_namespace() && !gateway_) open_gateway();
  if (report_.ready && !started_) {
    if (ready_ && !attached()) {
      // Its init says when, or why not.
    } else if (ready_) {
      if (deadline_) reactor_.cancel(*deadline_);
      deadline_.reset();
      std::exchange(ready_, nullptr)(*this);
    } else if (!for_fork_) {
      set_deadline();
      if (cell_->plan().outbound && !start_late()) cell_->kill();
    }
  }
  if (report_.untouched) return finish();        // nobody is left in the cell, and its init waits for the next
  if (!open) reactor_.unwatch(cell_->socket());  // init is ending; its pidfd will say when it has
}

// What is this fork's alone is in its cell.
bool CellRun::attached() {
  if (attach_) {
    attaching_ = true;
    const auto sent = std::exchange(attach_, nullptr)(*cell_);
    if (!sent) give_up({Outcome::Kind::setup_failed, sent.error().errno_value, "mount what the job names", sent.error().what});
  }
  return !attaching_ || report_.mounted;
}

Result<void> CellRun::start_late() {
  std::vector<int> fds;
  for (const UniqueFd& fd : inherited_) fds.push_back(fd.get());
  auto started = cell_->start(job_, fds);
  inherited_.clear();
  return started;
}

void CellRun::open_gateway() {
  auto gateway = Gateway::attach(cell_->network_namespace().get(), cell_->user_namespace().get(), ground_.host.loopback_resolver);
  if (!gateway) {
    gateway_problem_ = gateway.error().what;
    cell_->kill();
    return;
  }
  gateway_ = std::move(*gateway);
  const auto watched = reactor_.watch(gateway_->pidfd(), [this] {
    // Before the job started this is why it can't; later the job meets a network that is gone, as on any host.
    reactor_.unwatch(gateway_->pidfd());
    if (started_) return;
    gateway_problem_ = "the gateway program ended before the network was up; see 'casemate doctor'";
    cell_->kill();
  });
  if (!watched) cell_->kill();
}

// One read of what a fork reports, which is bounded by who hears it. False at the end, and when there is no more just now.
bool CellRun::take_report() {
  const ssize_t got = ::read(cell_->report().get(), read_buffer, sizeof read_buffer);
  if (got == 0) errno = 0;
  if (got > 0) listener_->report({read_buffer, static_cast<std::size_t>(got)});
  return got > 0;
}

void CellRun::unwatch() {
  if (cell_) {
    reactor_.unwatch(cell_->socket());
    if (output_) output_->stop();
    if (cell_->report()) reactor_.unwatch(cell_->report().get());
    reactor_.unwatch(cell_->process().pidfd());
  }
  if (gateway_) reactor_.unwatch(gateway_->pidfd());
  if (collected_) reactor_.unwatch(collected_.get());
  if (disk_watch_) reactor_.unwatch(disk_watch_->fd());
  for (std::optional<Reactor::TimerId>* timer : {&deadline_, &cpu_watch_}) {
    if (*timer) reactor_.cancel(**timer);
    timer->reset();
  }
}

void CellRun::finish() {
  const auto ended = Clock::now();
  unwatch();
  disk_watch_.reset();
  cell_->receive(report_);
  if (output_) output_->drain();
  for (std::size_t left = bytes_in(cell_->report()); left > 0 && take_report();) left -= std::min(left, sizeof read_buffer);
  const ProcessEnd end = fork_end_ ? *fork_end_ : cell_->process().reap(true).value_or(ProcessEnd{});
  if (cell_->cgroup()) usage_ = cell_->cgroup()->usage();
  result_.outcome = outcome(end);
  if (report_.wait_status && WIFEXITED(*report_.wait_status)) result_.exit_status = WEXITSTATUS(*report_.wait_status);
  result_.resources = resources(end, ended);
  result_.output = capture_.take();
  result_.leftovers = std::move(report_.leftovers);
  result_.notes = cell_->notes();
  gateway_.reset();
  const bool changed = std::any_of(cell_->uppers().begin(), cell_->uppers().end(), [](const UniqueFd& upper) { return bool(upper); });
  if (changed && collect_beside()) return;
  collect_changes({});
  complete();
}

void CellRun::complete() {
  if (collected_) reactor_.unwatch(collected_.get());
  if (collector_.joinable()) collector_.join();
  output_.reset();  // reads ends that are the cell's
  if (last_) last_(std::move(cell_), report_, usage_);
  cell_.reset();
  const Done done = std::move(done_);  // it may destroy us
  done(*this, std::move(result_));
}

// In a thread of its own, for a large tree takes seconds to copy while other jobs go on. False if there can be none.
bool CellRun::collect_beside() {
  collected_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!collected_ || !reactor_.watch(collected_.get(), [this] { complete(); })) return false;
  auto collector = start_thread([this](const std::stop_token& stop) {
    try {
      collect_changes(stop);
    } catch (const std::exception& problem) {  // no memory
      result_.collect_error = problem.what();
    }
    ::eventfd_write(collected_.get(), 1);
  });
  if (!collector) {
    reactor_.unwatch(collected_.get());
    return false;
  }
  collector_ = std::move(*collector);
  return true;
}

Outcome CellRun::outcome(const ProcessEnd& end) {
  using Kind = Outcome::Kind;
  const CellReport& report = report_;
  if (cancelled_) return {Kind::cancelled};
  if (given_up_) return *given_up_;
  if (!gateway_problem_.empty()) return {Kind::setup_failed, ENETUNREACH, "network gateway", gateway_problem_};
  if (report.failure) return setup_failure(*report.failure);
  if (setup_timed_out_) return {Kind::setup_failed, ETIMEDOUT, "prepare the cell"};
  if (timed_out_) return {Kind::timed_out, 0, "", fmt::format("wall time {}", format_duration(*job_.limits.wall))};
  if (!disk_problem_.text.empty()) return {Kind::disk_limit, 0, disk_problem_.step, disk_problem_.text};
  if (output_ && output_->over_limit())
    return {Kind::output_limit, 0, "", fmt::format("more than {}", format_bytes(*job_.limits.output_bytes))};
  if (report.over_limit == 1u) return cpu_timed_out();
  if (report.over_limit == 0u) return out_of_memory();
  const bool oom = usage_.oom_kills.value_or(0) > 0;
  if (!report.wait_status) {
    if (oom) return out_of_memory();
    return {Kind::lost, 0, "", fmt::format("the cell's init {} {}", end.signaled ? "was killed by signal" : "exited", end.code)};
  }
  const int status = *report.wait_status;
  Outcome plain = WIFSIGNALED(status) ? Outcome{Kind::signaled, WTERMSIG(status)} : Outcome{Kind::exited, WEXITSTATUS(status)};
  // Who reports tests ends well also when one has failed, for want of what the limit took.
  if (plain.succeeded() && !reports_) return plain;
  if (oom) return out_of_memory();
  if (plain.kind == Kind::signaled && plain.code == SIGXCPU && job_.limits.cpu_time) return cpu_timed_out();
  if (usage_.pids_refused.value_or(0) > 0)
    return {Kind::too_many_processes, plain.code, "", fmt::format("limit {}, then {}", job_.limits.pids.value_or(0), words(plain))};
  if (report.disk_full || layer_full())
    return {Kind::disk_limit, plain.code, "", fmt::format("a writable layer was full, then {}", words(plain))};
  return plain;
}

Outcome CellRun::setup_failure(const Message& failure) const {
  const Plan& plan = cell_->plan();
  const auto& steps = failure.phase == 0 ? plan.cell : plan.job;
  Outcome outcome{Outcome::Kind::setup_failed, failure.value};
  if (failure.phase == kMountPhase) {
    outcome.step = "mount " + (failure.step < cell_->attachments().size() ? printable_name(cell_->attachments()[failure.step]) : "a tree");
    return outcome;
  }
  if (failure.step >= steps.size()) return outcome;
  const Step& step = steps[failure.step];
  outcome.step = describe(step, plan);
  if (step.op == Step::Op::execute) outcome.step = "execve " + printable_name(job_.argv[0]);
  return outcome;
}

Outcome CellRun::out_of_memory() const {
  return {Outcome::Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(job_.limits.memory_bytes.value_or(0)))};
}

Outcome CellRun::cpu_timed_out() const {
  return {Outcome::Kind::timed_out, 0, "", fmt::format("CPU time {}", format_duration(*job_.limits.cpu_time))};
}

bool CellRun::layer_full() {
  return std::any_of(cell_->uppers().begin(), cell_->uppers().end(), [](const UniqueFd& upper) {
    struct statvfs state{};
    return upper && ::fstatvfs(upper.get(), &state) == 0 && (state.f_bavail == 0 || state.f_favail == 0);
  });
}

Resources CellRun::resources(const ProcessEnd& end, Clock::time_point ended) const {
  Resources used;
  used.wall = std::chrono::duration_cast<std::chrono::microseconds>(ended - began_);
  used.user_cpu = std::chrono::microseconds(usage_.user_cpu_us.value_or(static_cast<std::uint64_t>(end.user_us)));
  used.system_cpu = std::chrono::microseconds(usage_.system_cpu_us.value_or(static_cast<std::uint64_t>(end.system_us)));
  used.peak_memory_bytes = usage_.peak_memory_bytes;
  if (!used.peak_memory_bytes) used.peak_memory_bytes = static_cast<std::uint64_t>(end.max_rss_bytes);
  used.read_bytes = usage_.read_bytes;
  used.written_bytes = usage_.written_bytes;
  used.peak_pids = usage_.peak_pids;
  used.major_faults = end.major_faults;
  used.minor_faults = end.minor_faults;
  return used;
}

void CellRun::collect_changes(const std::stop_token& stop) {
  const Plan& plan = cell_->plan();
  for (std::size_t i = 0; i < plan.collected.size(); ++i) {
    if (!cell_->uppers()[i]) continue;
    CollectOptions options;
    options.destination = job_.collect_to;
    options.lower = plan.collected_lower[i];
    options.stop = stop;
    // Several collected directories keep their paths apart by the place they had in the cell.
    const std::string place = plan.collected.size() > 1 ? plan.collected[i].substr(1) + "/" : "";
    if (!options.destination.empty() && !place.empty()) options.destination += "/" + place;
    if (i < destinations_.size()) options.destination_fd = destinations_[i].get();
    auto collected = collect(cell_->uppers()[i].get(), options);
    if (!collected) {
      result_.collect_error = collected.error().what;
      continue;
    }
    result_.changes_truncated |= collected->truncated;
    if (result_.collect_error.empty()) result_.collect_error = collected->problem;
    for (Change& change : collected->changes) change.path.insert(0, place);
    std::move(collected->changes.begin(), collected->changes.end(), std::back_inserter(result_.changes));
  }
}

}  // namespace casemate
