// native: the executor that runs jobs in cells on this machine.
#include <algorithm>
#include <csignal>
#include <memory>
#include <stop_token>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/terminal.h"
#include "base/units.h"
#include "cell/cell.h"
#include "cell/pool.h"
#include "engine/capture.h"
#include "engine/collect.h"
#include "engine/delivery.h"
#include "engine/disk_watch.h"
#include "engine/executor.h"
#include "engine/gateway.h"
#include "engine/reactor.h"
#include "sys/thread.h"

namespace casemate {
namespace {

using Clock = Reactor::Clock;

constexpr std::size_t kCellsAhead = 4;
constexpr std::size_t kMostBacklog = 1 << 20;
constexpr auto kBacklogPause = std::chrono::milliseconds(5);
constexpr auto kSetupTime = std::chrono::seconds(60);
constexpr auto kCpuLook = std::chrono::milliseconds(50);

char* host_argv = nullptr;
std::size_t host_argv_bytes = 0;

/// One job on its way: its cell, what it has written, how it is going.
struct Running {
  Job job;
  JobListener* listener = nullptr;
  std::function<void(JobResult)> done;
  std::unique_ptr<Cell> cell;
  std::unique_ptr<Gateway> gateway;
  std::unique_ptr<DiskWatch> disk_watch;
  Capture capture{0};
  CellReport report;
  std::optional<Reactor::TimerId> deadline;
  std::optional<Reactor::TimerId> cpu_watch;
  std::optional<Reactor::TimerId> pause;  // while the listener's reader is slow
  Clock::time_point began = Clock::now();
  bool started = false;
  bool cancelled = false;
  bool timed_out = false;
  bool setup_timed_out = false;
  bool output_limit = false;
  std::string gateway_problem;
  std::vector<UniqueFd> destinations;  // of changed files, by the plan's collected index; empty: they are only listed
  std::string disk_problem;
  JobResult result;
  UniqueFd collected;      // an eventfd: the collector is done
  std::jthread collector;  // last: it uses all of the above
};

class NativeExecutor final : public Executor {
 public:
  NativeExecutor(Reactor& reactor, std::unique_ptr<CgroupFactory> cgroups)
      : reactor_(reactor), cgroups_(std::move(cgroups)), pool_(ground_, kCellsAhead) {
    ground_.host = read_host_facts();
    ground_.cgroups = cgroups_.get();
    ground_.host_argv = host_argv;
    ground_.host_argv_bytes = host_argv_bytes;
    cgroups_->sweep();
  }

  ~NativeExecutor() override {
    for (const auto& [key, running] : running_) unwatch(*running);
  }

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) override {
    auto running = std::make_unique<Running>();
    TRY_ASSIGN(CellShape shape, shape_of(job));
    if (shape.plan.outbound) TRY(Gateway::available());
    TRY_ASSIGN(running->destinations, open_destinations(job, shape.plan));
    running->job = std::move(job);
    running->listener = &listener;
    running->done = std::move(done);
    running->capture = Capture(running->job.capture_bytes);
    if (!running->job.forward_stdin) running->cell = pool_.take(shape);
    if (!running->cell) {
      TRY_ASSIGN(running->cell, Cell::create(ground_, std::move(shape.plan), shape.limits, &running->job));
    }
    Running* raw = running.get();
    running_[raw] = std::move(running);
    return begin(*raw);
  }

  void signal_all(int number) override {
    for (const auto& [key, running] : running_) {
      running->collector.request_stop();  // a job that has ended hears no signal
      running->cell->signal(number);
    }
  }

  void cancel_all() override {
    for (const auto& [key, running] : running_) {
      running->cancelled = true;
      running->collector.request_stop();
      running->cell->kill();
    }
  }

  void expect(const Job& next) override {
    if (next.forward_stdin) return;
    Job copy = next;
    if (auto shape = shape_of(copy)) pool_.fill(*shape);
  }

 private:
  Result<CellShape> shape_of(Job& job) {
    resolve_sources(job, ground_.host);
    TRY_ASSIGN(Plan plan, compile(job, ground_.host));
    CellShape shape{std::move(plan), job.limits};
    shape.limits.wall.reset();
    shape.limits.output_bytes.reset();
    return shape;
  }

  // Now, not when the job has ended: it may be able to write where they lie, and put a link to anywhere in their place.
  static Result<std::vector<UniqueFd>> open_destinations(const Job& job, const Plan& plan) {
    std::vector<UniqueFd> opened;
    if (job.collect_to.empty() || plan.collected.empty()) return opened;
    TRY_ASSIGN(Delivery delivery, Delivery::open(job.collect_to));
    UniqueFd root = std::move(delivery).take_root();
    if (plan.collected.size() == 1) {
      opened.push_back(std::move(root));
      return opened;
    }
    for (const std::string& place : plan.collected) {
      auto directory = make_directories_beneath(root.get(), place.substr(1));
      if (!directory)
        return fail_errno(fmt::format("make {} in {}", printable_name(place.substr(1)), printable_name(job.collect_to)), directory.error());
      opened.push_back(std::move(*directory));
    }
    return opened;
  }

  Result<void> begin(Running& running) {
    Cell& cell = *running.cell;
    Running* raw = &running;
    const auto started = [&]() -> Result<void> {
      TRY(reactor_.watch(cell.socket(), [this, raw] { messages(*raw); }));
      TRY(watch_output(running));
      TRY(reactor_.watch(cell.process().pidfd(), [this, raw] { finish(*raw); }));
      TRY(watch_disk(running));
      running.deadline = reactor_.schedule(Clock::now() + kSetupTime, [raw] {
        raw->deadline.reset();
        raw->setup_timed_out = true;
        raw->cell->kill();
      });
      if (!cell.plan().outbound) TRY(cell.start(running.job));
      return {};
    }();
    if (!started) {
      unwatch(running);
      running_.erase(raw);
    }
    return started;
  }

  // From here the job's own clock runs.
  void set_deadline(Running& running) {
    running.started = true;
    running.began = Clock::now();
    if (running.deadline) reactor_.cancel(*running.deadline);
    running.deadline.reset();
    watch_cpu(running);
    if (!running.job.limits.wall) return;
    running.deadline = reactor_.schedule(running.began + *running.job.limits.wall, [raw = &running] {
      raw->deadline.reset();
      raw->timed_out = true;
      raw->cell->kill();
    });
  }

  // Init adds up what it can see; children that nobody waits for (SIGCHLD ignored) only the cgroup counts.
  void watch_cpu(Running& running) {
    if (!running.job.limits.cpu_time || !running.cell->cgroup()) return;
    running.cpu_watch = reactor_.schedule(Clock::now() + kCpuLook, [this, raw = &running] {
      raw->cpu_watch.reset();
      const auto used = raw->cell->cgroup()->cpu_us();
      if (!used) return;
      if (std::chrono::microseconds(*used) <= *raw->job.limits.cpu_time) return watch_cpu(*raw);
      raw->report.over_limit = 1;
      raw->cell->kill();
    });
  }

  Result<void> watch_disk(Running& running) {
    TRY_ASSIGN(running.disk_watch, DiskWatch::begin(running.job));
    if (!running.disk_watch) return {};
    return reactor_.watch(running.disk_watch->fd(), [this, raw = &running] {
      reactor_.unwatch(raw->disk_watch->fd());
      raw->disk_problem = raw->disk_watch->problem();
      raw->cell->kill();
    });
  }

  void messages(Running& running) {
    const bool open = running.cell->receive(running.report);
    if (running.cell->plan().outbound && running.cell->network_namespace() && !running.gateway) open_gateway(running);
    if (running.report.ready && !running.started) {
      set_deadline(running);
      if (running.cell->plan().outbound && !running.cell->start(running.job)) running.cell->kill();
    }
    if (!open) reactor_.unwatch(running.cell->socket());  // init is ending; its pidfd will say when it has
  }

  void open_gateway(Running& running) {
    auto gateway =
        Gateway::attach(running.cell->network_namespace().get(), running.cell->user_namespace().get(), ground_.host.loopback_resolver);
    if (!gateway) {
      running.gateway_problem = gateway.error().what;
      running.cell->kill();
      return;
    }
    running.gateway = std::move(*gateway);
    const auto watched = reactor_.watch(running.gateway->pidfd(), [this, raw = &running] {
      // Before the job started this is why it can't; later the job meets a network that is gone, as on any host.
      reactor_.unwatch(raw->gateway->pidfd());
      if (raw->started) return;
      raw->gateway_problem = "the gateway program ended before the network was up; see 'casemate doctor'";
      raw->cell->kill();
    });
    if (!watched) running.cell->kill();
  }

  void output(Running& running, Stream stream, UniqueFd& fd) {
    if (!take_output(running, stream, fd) || !running.listener->wants(stream)) {
      reactor_.unwatch(fd.get());
      fd.reset();
    }
    if (running.listener->backlog() > kMostBacklog) pause_output(running);
  }

  // Leaves the job's pipes unread until the listener's reader has caught up.
  void pause_output(Running& running) {
    Cell& cell = *running.cell;
    if (cell.out()) reactor_.unwatch(cell.out().get());
    if (cell.err()) reactor_.unwatch(cell.err().get());
    running.pause = reactor_.schedule(Clock::now() + kBacklogPause, [this, raw = &running] {
      raw->pause.reset();
      if (raw->listener->backlog() > kMostBacklog) return pause_output(*raw);
      if (!watch_output(*raw)) raw->cell->kill();
    });
  }

  Result<void> watch_output(Running& running) {
    Cell& cell = *running.cell;
    Running* raw = &running;
    if (cell.out()) TRY(reactor_.watch(cell.out().get(), [this, raw] { output(*raw, Stream::out, raw->cell->out()); }));
    if (cell.err()) TRY(reactor_.watch(cell.err().get(), [this, raw] { output(*raw, Stream::err, raw->cell->err()); }));
    return {};
  }

  // One read; false at the end of the stream.
  bool take_output(Running& running, Stream stream, UniqueFd& fd) {
    const ssize_t got = ::read(fd.get(), buffer_, sizeof buffer_);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    std::string_view bytes(buffer_, static_cast<std::size_t>(got));
    const auto& most = running.job.limits.output_bytes;
    if (most) {
      const std::uint64_t left = *most - std::min(*most, running.capture.total());
      if (bytes.size() > left) {
        bytes = bytes.substr(0, left);
        running.output_limit = true;
        running.cell->kill();
      }
    }
    if (bytes.empty()) return true;
    running.capture.add(stream, bytes);
    running.listener->output(stream, bytes);
    return true;
  }

  void drain(Running& running, Stream stream, UniqueFd& fd) {
    // All writers are dead, so this ends: at most what a pipe holds.
    while (fd && !running.output_limit) {
      const std::uint64_t before = running.capture.total();
      if (!take_output(running, stream, fd) || running.capture.total() == before) break;
    }
  }

  void unwatch(Running& running) {
    Cell& cell = *running.cell;
    reactor_.unwatch(cell.socket());
    if (cell.out()) reactor_.unwatch(cell.out().get());
    if (cell.err()) reactor_.unwatch(cell.err().get());
    reactor_.unwatch(cell.process().pidfd());
    if (running.gateway) reactor_.unwatch(running.gateway->pidfd());
    if (running.collected) reactor_.unwatch(running.collected.get());
    if (running.disk_watch) reactor_.unwatch(running.disk_watch->fd());
    for (std::optional<Reactor::TimerId>* timer : {&running.deadline, &running.pause, &running.cpu_watch}) {
      if (*timer) reactor_.cancel(**timer);
      timer->reset();
    }
  }

  void finish(Running& running) {
    const auto ended = Clock::now();
    unwatch(running);
    running.disk_watch.reset();
    Cell& cell = *running.cell;
    cell.receive(running.report);
    drain(running, Stream::out, cell.out());
    drain(running, Stream::err, cell.err());
    const ProcessEnd end = cell.process().reap(true).value_or(ProcessEnd{});
    const CgroupUsage usage = cell.cgroup() ? cell.cgroup()->usage() : CgroupUsage{};

    JobResult& result = running.result;
    result.outcome = outcome(running, end, usage);
    result.resources = resources(running, end, usage, ended);
    result.output = running.capture.take();
    result.leftovers = std::move(running.report.leftovers);
    result.notes = cell.notes();
    running.gateway.reset();
    const bool changed = std::any_of(cell.uppers().begin(), cell.uppers().end(), [](const UniqueFd& upper) { return bool(upper); });
    if (changed && collect_beside(running)) return;
    collect_changes(running, {});
    complete(running);
  }

  void complete(Running& running) {
    const std::unique_ptr<Running> owner = std::move(running_.at(&running));
    running_.erase(&running);
    if (owner->collected) reactor_.unwatch(owner->collected.get());
    if (owner->collector.joinable()) owner->collector.join();
    owner->cell.reset();
    owner->done(std::move(owner->result));
  }

  // In a thread of its own, for a large tree takes seconds to copy while other jobs go on. False if there can be none.
  bool collect_beside(Running& running) {
    running.collected.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    Running* raw = &running;
    if (!running.collected || !reactor_.watch(running.collected.get(), [this, raw] { complete(*raw); })) return false;
    auto collector = start_thread([raw](const std::stop_token& stop) {
      try {
        collect_changes(*raw, stop);
      } catch (const std::exception& problem) {  // no memory
        raw->result.collect_error = problem.what();
      }
      ::eventfd_write(raw->collected.get(), 1);
    });
    if (!collector) {
      reactor_.unwatch(running.collected.get());
      return false;
    }
    running.collector = std::move(*collector);
    return true;
  }

  static Outcome outcome(Running& running, const ProcessEnd& end, const CgroupUsage& usage) {
    using Kind = Outcome::Kind;
    const CellReport& report = running.report;
    if (running.cancelled) return {Kind::cancelled};
    if (!running.gateway_problem.empty()) return {Kind::setup_failed, ENETUNREACH, "network gateway", running.gateway_problem};
    if (report.failure) return setup_failure(running, *report.failure);
    if (running.setup_timed_out) return {Kind::setup_failed, ETIMEDOUT, "prepare the cell"};
    if (running.timed_out) return {Kind::timed_out, 0, "", fmt::format("wall time {}", format_duration(*running.job.limits.wall))};
    if (!running.disk_problem.empty()) return {Kind::disk_limit, 0, "", running.disk_problem};
    if (running.output_limit)
      return {Kind::output_limit, 0, "", fmt::format("more than {}", format_bytes(*running.job.limits.output_bytes))};
    if (report.over_limit == 1u) return cpu_timed_out(running);
    if (report.over_limit == 0u) return out_of_memory(running);
    const bool oom = usage.oom_kills.value_or(0) > 0;
    if (!report.wait_status) {
      if (oom) return out_of_memory(running);
      return {Kind::lost, 0, "", fmt::format("the cell's init {} {}", end.signaled ? "was killed by signal" : "exited", end.code)};
    }
    const int status = *report.wait_status;
    Outcome plain = WIFSIGNALED(status) ? Outcome{Kind::signaled, WTERMSIG(status)} : Outcome{Kind::exited, WEXITSTATUS(status)};
    if (plain.succeeded()) return plain;
    if (oom) return out_of_memory(running);
    if (plain.kind == Kind::signaled && plain.code == SIGXCPU && running.job.limits.cpu_time) return cpu_timed_out(running);
    if (usage.pids_refused.value_or(0) > 0)
      return {Kind::too_many_processes, plain.code, "",
              fmt::format("limit {}, then {}", running.job.limits.pids.value_or(0), words(plain))};
    if (report.disk_full || layer_full(*running.cell))
      return {Kind::disk_limit, plain.code, "", fmt::format("a writable layer was full, then {}", words(plain))};
    return plain;
  }

  static Outcome setup_failure(const Running& running, const Message& failure) {
    const Plan& plan = running.cell->plan();
    const auto& steps = failure.phase == 0 ? plan.cell : plan.job;
    Outcome outcome{Outcome::Kind::setup_failed, failure.value};
    if (failure.step >= steps.size()) return outcome;
    const Step& step = steps[failure.step];
    outcome.step = describe(step, plan);
    if (step.op == Step::Op::execute) outcome.step = "execve " + printable_name(running.job.argv[0]);
    return outcome;
  }

  static Outcome out_of_memory(const Running& running) {
    return {Outcome::Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(running.job.limits.memory_bytes.value_or(0)))};
  }

  static Outcome cpu_timed_out(const Running& running) {
    return {Outcome::Kind::timed_out, 0, "", fmt::format("CPU time {}", format_duration(*running.job.limits.cpu_time))};
  }

  static bool layer_full(Cell& cell) {
    return std::any_of(cell.uppers().begin(), cell.uppers().end(), [](const UniqueFd& upper) {
      struct statvfs state{};
      return upper && ::fstatvfs(upper.get(), &state) == 0 && (state.f_bavail == 0 || state.f_favail == 0);
    });
  }

  static Resources resources(const Running& running, const ProcessEnd& end, const CgroupUsage& usage, Clock::time_point ended) {
    Resources used;
    used.wall = std::chrono::duration_cast<std::chrono::microseconds>(ended - running.began);
    used.user_cpu = std::chrono::microseconds(usage.user_cpu_us.value_or(static_cast<std::uint64_t>(end.user_us)));
    used.system_cpu = std::chrono::microseconds(usage.system_cpu_us.value_or(static_cast<std::uint64_t>(end.system_us)));
    used.peak_memory_bytes = usage.peak_memory_bytes;
    if (!used.peak_memory_bytes) used.peak_memory_bytes = static_cast<std::uint64_t>(end.max_rss_bytes);
    used.read_bytes = usage.read_bytes;
    used.written_bytes = usage.written_bytes;
    used.peak_pids = usage.peak_pids;
    used.major_faults = end.major_faults;
    used.minor_faults = end.minor_faults;
    return used;
  }

  static void collect_changes(Running& running, const std::stop_token& stop) {
    JobResult& result = running.result;
    Cell& cell = *running.cell;
    const Plan& plan = cell.plan();
    for (std::size_t i = 0; i < plan.collected.size(); ++i) {
      if (!cell.uppers()[i]) continue;
      CollectOptions options;
      options.destination = running.job.collect_to;
      options.lower = plan.collected_lower[i];
      options.stop = stop;
      // Several collected directories keep their paths apart by the place they had in the cell.
      const std::string place = plan.collected.size() > 1 ? plan.collected[i].substr(1) + "/" : "";
      if (!options.destination.empty() && !place.empty()) options.destination += "/" + place;
      if (i < running.destinations.size()) options.destination_fd = running.destinations[i].get();
      auto collected = collect(cell.uppers()[i].get(), options);
      if (!collected) {
        result.collect_error = collected.error().what;
        continue;
      }
      result.changes_truncated |= collected->truncated;
      if (result.collect_error.empty()) result.collect_error = collected->problem;
      for (Change& change : collected->changes) change.path.insert(0, place);
      std::move(collected->changes.begin(), collected->changes.end(), std::back_inserter(result.changes));
    }
  }

  Reactor& reactor_;
  std::unique_ptr<CgroupFactory> cgroups_;
  CellGround ground_;
  CellPool pool_;
  std::unordered_map<Running*, std::unique_ptr<Running>> running_;
  char buffer_[64 << 10];
};

}  // namespace

Result<std::unique_ptr<Executor>> make_native_executor(Reactor& reactor) {
  return std::make_unique<NativeExecutor>(reactor, open_cgroups());
}

void set_host_arguments(char* first, std::size_t bytes) {
  host_argv = first;
  host_argv_bytes = bytes;
}

}  // namespace casemate
