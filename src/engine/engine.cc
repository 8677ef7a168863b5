#include "casemate/engine.h"

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "engine/executor.h"
#include "engine/reactor.h"
#include "sys/signals.h"

namespace casemate {
namespace {

constexpr auto kGrace = std::chrono::seconds(10);  // between passing a signal on and SIGKILL, as docker stop has it

std::size_t usable_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) < 0) return 1;
  return static_cast<std::size_t>(std::max(1, CPU_COUNT(&cpus)));
}

JobResult ended(Outcome outcome) {
  JobResult result;
  result.outcome = std::move(outcome);
  return result;
}

}  // namespace

struct Engine::Parts {
  struct Waiting {
    Job job;
    JobListener* listener;
  };
  /// Jobs in the order of submission, and how many of them run at a time.
  struct Queue {
    std::size_t slots = 1;
    std::deque<Waiting> waiting;
    std::size_t running = 0;
    [[nodiscard]] bool idle() const { return running == 0 && waiting.empty(); }
  };
  std::unique_ptr<Reactor> reactor;  // before the executor: destroyed after it
  Queue shared;
  std::map<std::string, Queue> own;  // of executors that have slots of their own
  bool cancelled = false;
  int signal_number = 0;
  bool second_signal = false;
  UniqueFd signals;
  sigset_t old_mask{};
  std::unique_ptr<Executor> executor;
  std::map<std::string, std::unique_ptr<Executor>> added;

  ~Parts() {
    added.clear();
    executor.reset();
    if (signals) ::sigprocmask(SIG_SETMASK, &old_mask, nullptr);
  }

  Executor* executor_of(const Job& job) {
    if (job.executor.empty()) return executor.get();
    const auto found = added.find(job.executor);
    return found == added.end() ? nullptr : found->second.get();
  }

  template <class Call>
  void each_executor(Call call) {
    call(*executor);
    for (const auto& [name, other] : added) call(*other);
  }

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) {
    Executor* by = executor_of(job);
    if (!by) return fail(ErrorCode::internal, fmt::format("there is no executor '{}'", job.executor));
    return by->start(std::move(job), listener, std::move(done));
  }

  void repeat(std::chrono::milliseconds interval, const std::shared_ptr<std::function<void()>>& due) {
    reactor->schedule(Reactor::Clock::now() + interval, [this, interval, due] {
      (*due)();
      repeat(interval, due);
    });
  }

  Queue& queue_of(const Job& job) {
    const auto found = own.find(job.executor);
    return found == own.end() ? shared : found->second;
  }

  template <class Call>
  void each_queue(Call call) {
    call(shared);
    for (auto& [name, queue] : own) call(queue);
  }

  void start_some() {
    each_queue([this](Queue& queue) { start_some_of(queue); });
  }

  void start_some_of(Queue& queue) {
    while (queue.running < queue.slots && !queue.waiting.empty()) {
      Waiting next = std::move(queue.waiting.front());
      queue.waiting.pop_front();
      JobListener* listener = next.listener;
      if (cancelled) {
        listener->finished(ended({Outcome::Kind::cancelled}));
        continue;
      }
      ++queue.running;
      listener->started();
      auto started = start(std::move(next.job), *listener, [&queue, listener](JobResult result) {
        --queue.running;
        listener->finished(std::move(result));
      });
      if (!started) {
        --queue.running;
        listener->refused(started.error());
      }
    }
    if (queue.waiting.empty()) return;
    const Job& next = queue.waiting.front().job;
    if (Executor* by = executor_of(next)) by->expect(next);
  }

  // Listeners may submit to any queue, also to one that was looked at before.
  [[nodiscard]] bool idle() {
    bool all = true;
    each_queue([&](const Queue& queue) { all &= queue.idle(); });
    return all;
  }

  [[nodiscard]] bool can_start() {
    bool any = false;
    each_queue([&](const Queue& queue) { any |= !queue.waiting.empty() && queue.running < queue.slots; });
    return any;
  }

  void on_signal() {
    const int number = take_signal(signals.get());
    if (number == 0) return;
    if (signal_number != 0) {
      second_signal = true;
      each_executor([](Executor& each) { each.cancel_all(); });  // the second one means it
      return;
    }
    signal_number = number;
    cancelled = true;
    each_executor([&](Executor& each) { each.signal_all(signal_number); });
    reactor->schedule(Reactor::Clock::now() + kGrace, [this] { each_executor([](Executor& each) { each.cancel_all(); }); });
  }

  Result<void> run() {
    for (;;) {
      start_some();
      if (idle()) return {};
      if (can_start()) continue;
      TRY(reactor->turn(std::chrono::milliseconds(60'000)));
    }
  }
};

void JobListener::refused(const Error& error) {
  finished(ended({Outcome::Kind::setup_failed, error.errno_value, "prepare the job", error.what}));
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(EngineOptions options) {
  if (options.executor != "native")
    return fail(ErrorCode::not_supported, fmt::format("executor '{}': this casemate has only 'native'", options.executor));
  auto parts = std::make_unique<Parts>();
  parts->shared.slots = options.slots > 0 ? options.slots : usable_cpus();
  TRY_ASSIGN(parts->reactor, Reactor::create());
  TRY_ASSIGN(parts->executor, make_native_executor(*parts->reactor));
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

Result<JobResult> Engine::run(Job job, JobListener* listener) {
  JobListener nobody;
  JobListener& hears = listener ? *listener : nobody;
  std::optional<JobResult> result;
  TRY(parts_->start(std::move(job), hears, [&](JobResult ended) { result = std::move(ended); }));
  while (!result) TRY(parts_->reactor->turn(std::chrono::milliseconds(60'000)));
  return std::move(*result);
}

Result<Engine::Kept> Engine::keep(Job job, std::string key, JobListener* listener) {
  JobListener nobody;
  std::optional<Kept> kept;
  Executor* by = parts_->executor_of(job);
  if (!by) return fail(ErrorCode::internal, fmt::format("there is no executor '{}'", job.executor));
  TRY(by->keep(std::move(job), std::move(key), listener ? *listener : nobody,
               [&](std::optional<JobResult> result, std::optional<Job> next) { kept = Kept{std::move(result), std::move(next)}; }));
  while (!kept) TRY(parts_->reactor->turn(std::chrono::milliseconds(60'000)));
  return std::move(*kept);
}

Result<void> Engine::submit(Job job, JobListener& listener) {
  auto& waiting = parts_->queue_of(job).waiting;
  waiting.push_back({std::move(job), &listener});
  return {};
}

Result<void> Engine::run_until_idle() { return parts_->run(); }

Result<void> Engine::turn(std::chrono::milliseconds most) {
  parts_->start_some();
  return parts_->reactor->turn(most);
}

void Engine::cancel_all() {
  parts_->cancelled = true;
  parts_->each_executor([](Executor& each) { each.cancel_all(); });
}

void Engine::cancel_current() {
  parts_->each_executor([](Executor& each) { each.cancel_all(); });
  cancel_queued();
}

void Engine::cancel(JobListener& listener) {
  bool waited = false;
  parts_->each_queue([&](Parts::Queue& queue) {
    waited |= std::erase_if(queue.waiting, [&](const Parts::Waiting& each) { return each.listener == &listener; }) > 0;
  });
  if (!waited) return parts_->each_executor([&](Executor& each) { each.cancel(listener); });
  listener.finished(ended({Outcome::Kind::cancelled}));
}

void Engine::signal_all(int number) {
  parts_->each_executor([&](Executor& each) { each.signal_all(number); });
}

Result<void> Engine::add_executor(const std::string& name, const std::function<Result<std::unique_ptr<Executor>>(Reactor&)>& make,
                                  std::size_t slots) {
  TRY_ASSIGN(parts_->added[name], make(*parts_->reactor));
  if (slots > 0) parts_->own[name].slots = slots;
  return {};
}

Result<void> Engine::open_context(Job job, OpenedContext opened) {
  Executor* by = parts_->executor_of(job);
  if (!by) return fail(ErrorCode::internal, fmt::format("there is no executor '{}'", job.executor));
  return by->open(std::move(job), std::move(opened));
}

void Engine::every(std::chrono::milliseconds interval, std::function<void()> due) {
  parts_->repeat(interval, std::make_shared<std::function<void()>>(std::move(due)));
}

Result<void> Engine::watch(int fd, std::function<void()> ready) { return parts_->reactor->watch(fd, std::move(ready)); }

void Engine::unwatch(int fd) { parts_->reactor->unwatch(fd); }

void Engine::cancel_queued() {
  std::deque<Parts::Waiting> all;
  parts_->each_queue([&](Parts::Queue& queue) { std::ranges::move(std::exchange(queue.waiting, {}), std::back_inserter(all)); });
  for (const Parts::Waiting& never : all) never.listener->finished(ended({Outcome::Kind::cancelled}));
}

Result<void> Engine::cancel_on_signals() {
  if (parts_->signals) return {};
  const sigset_t mask = ending_signals();
  if (::sigprocmask(SIG_BLOCK, &mask, &parts_->old_mask) < 0) return fail_errno("block signals");
  TRY_ASSIGN(parts_->signals, open_signals(mask));
  return parts_->reactor->watch(parts_->signals.get(), [parts = parts_.get()] { parts->on_signal(); });
}

int Engine::cancelled_by_signal() const { return parts_->signal_number; }

bool Engine::cancelled_at_once() const { return parts_->second_signal; }

}  // namespace casemate
