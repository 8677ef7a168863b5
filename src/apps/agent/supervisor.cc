#include "apps/agent/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "apps/agent/worker.h"
#include "base/terminal.h"
#include "base/units.h"
#include "casemate/outcome.h"
#include "store/history.h"
#include "sys/signals.h"

namespace casemate {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using State = OutboxEntry::State;

constexpr auto kPreparation = std::chrono::minutes(30);  // of a task, beside its tests: repositories and packages, each bounded by itself
constexpr auto kGrace = seconds(60);                     // past all bounds of a worker
constexpr auto kLeastInterval = milliseconds(10);        // between polls, whatever --check-interval says
constexpr auto kStopGrace = seconds(30);                 // for a worker that was interrupted
constexpr auto kOncePosting = seconds(60);               // --once: for a result that can't be posted
constexpr auto kSayAgain = std::chrono::minutes(10);     // between lines of the same trouble
constexpr auto kBeforeStarting = seconds(2);             // again, where no worker could be started
constexpr std::uint32_t kMostAttempts = 16;              // to run a task, of which the agent did not see the end
constexpr std::uint32_t kMostRefusals = 10;              // in a row, of an account that was good before
constexpr int kSecondSignal = 130;
constexpr int kBadBackend = 2;

std::int64_t now_ms() { return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string what_of(const Task& task) {
  return task.branch.empty() ? shown_url(task.repository_url) : fmt::format("{} at {}", shown_url(task.repository_url), task.branch);
}

std::string_view result_word(const Grade& grade) { return grade.is_error ? "error" : grade.any_unexpected ? "failed" : "passed"; }

std::string_view kind_word(BackendFailure::Kind kind) {
  using Kind = BackendFailure::Kind;
  return kind == Kind::unauthorised ? "unauthorised"
         : kind == Kind::nonsense   ? "nonsense"
         : kind == Kind::unusable   ? "unusable"
                                    : "unreachable";
}

std::size_t count_of(const Grade& grade, CaseGrade::Verdict verdict) {
  return static_cast<std::size_t>(std::ranges::count_if(grade.cases, [verdict](const CaseGrade& test) { return test.verdict == verdict; }));
}

// "3 passed, 1 failed, 1 skipped".
std::string counts_of(const Grade& grade) {
  using Verdict = CaseGrade::Verdict;
  std::string text = fmt::format("{} passed", count_of(grade, Verdict::passed));
  if (const std::size_t failed = count_of(grade, Verdict::failed)) text += fmt::format(", {} failed", failed);
  if (const std::size_t skipped = count_of(grade, Verdict::skipped)) text += fmt::format(", {} skipped", skipped);
  return text;
}

// Nobody's fault, and over some time: no more descriptors, processes or memory just now.
bool is_passing(const Error& error) {
  return error.errno_value == EMFILE || error.errno_value == ENFILE || error.errno_value == EAGAIN || error.errno_value == ENOMEM;
}

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

std::string ago(std::chrono::steady_clock::time_point moment) {
  return format_duration(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - moment));
}

}  // namespace

Supervisor::Supervisor(const Parts& parts)
    : settings_(parts.settings),
      log_(parts.log),
      metrics_(parts.metrics),
      outbox_(parts.outbox),
      directories_(parts.directories),
      courier_(parts.courier),
      signals_(parts.signals),
      posting_(parts.settings, parts.outbox, parts.log, parts.metrics),
      slots_(parts.settings.slots > 0 ? parts.settings.slots : std::max(1u, std::thread::hardware_concurrency())) {}

Result<int> Supervisor::run() {
  TRY(sweep());
  for (;;) {
    TRY(start_tasks());
    TRY(send_errand());
    metrics_.set_gauges(running_.size(), posting_.waiting());
    if (const auto status = exit_status()) return *status;
    TRY(wait());
  }
}

// What an agent before us left behind.
Result<void> Supervisor::sweep() {
  TRY_ASSIGN(auto entries, outbox_.open_entries());
  for (OutboxEntry& entry : entries) {
    if (entry.state == State::taken) {
      log_.write(LogLevel::info, fmt::format("is run again: no result of it is known (task {})", entry.number), entry.task.key());
      queue_.push_back(std::move(entry));
      continue;
    }
    const std::string_view left = entry.state == State::posting ? "was being posted, and is asked after" : "has not been posted yet";
    log_.write(LogLevel::info, fmt::format("the result {} (task {})", left, entry.number), entry.task.key());
    posting_.add(std::move(entry));
  }
  polled_out_ = settings_.once && !queue_.empty();
  prune();
  return {};
}

Result<void> Supervisor::start_tasks() {
  while (!stopping_ && !queue_.empty() && running_.size() < settings_.concurrent && Clock::now() >= next_start_) {
    OutboxEntry entry = std::move(queue_.front());
    queue_.pop_front();
    TRY(start(std::move(entry)));
  }
  return {};
}

Result<void> Supervisor::start(OutboxEntry entry) {
  if (entry.attempts >= kMostAttempts)
    return finish(
        std::move(entry),
        grade_of_error(fmt::format("the task could not be run: the agent came to its end {} times while it was at it", kMostAttempts)), {});
  ++entry.attempts;
  TRY(outbox_.change(entry));
  TRY_ASSIGN(const std::string directory, directories_.make(entry.number));
  auto worker = WorkerProcess::start(directory, order_for(entry.task));
  if (!worker && is_passing(worker.error())) {
    log_.write(next_start_ == Clock::time_point{} ? LogLevel::error : LogLevel::debug,
               fmt::format("waits: {} (task {})", worker.error().what, entry.number), entry.task.key());
    next_start_ = Clock::now() + kBeforeStarting;
    --entry.attempts;
    TRY(outbox_.change(entry));
    queue_.push_front(std::move(entry));
    return {};
  }
  next_start_ = {};
  if (!worker) {
    Grade grade = grade_of_error(fmt::format("the task could not be run: {}", worker.error().what));
    return finish(std::move(entry), std::move(grade), {});
  }
  log_.write(LogLevel::info, fmt::format("starts: {} (task {})", what_of(entry.task), entry.number), entry.task.key());
  const auto now = Clock::now();
  const auto deadline = settings_.timeout.count() == 0 ? Clock::time_point::max() : now + settings_.timeout + kPreparation + kGrace;
  const std::int64_t number = entry.number;
  running_.emplace(number, Running{std::move(entry), std::move(*worker), now, deadline});
  return {};
}

WorkOrder Supervisor::order_for(const Task& task) const {
  return {.task = task,
          .timeout = settings_.timeout,
          .proxy_timeout = settings_.proxy_timeout,
          .tests_repo = settings_.tests_repo,
          .tests_revision = settings_.tests_revision,
          .tests_command = settings_.tests_command,
          .image = settings_.image,
          .limits = settings_.limits,
          .slots = std::max(1u, slots_ / static_cast<std::uint32_t>(running_.size() + 1)),
          .isolation = settings_.isolation,
          .allow_file_urls = settings_.allow_file_urls,
          .clone_network = settings_.clone_network};
}

bool Supervisor::may_poll() const { return !stopping_ && !polled_out_ && queue_.empty() && running_.size() < settings_.concurrent; }

Result<void> Supervisor::send_errand() {
  if (!courier_.idle()) return {};
  // A result that is ready would be overtaken by a poll, which may be answered slowly.
  TRY_ASSIGN(auto errand, posting_.next(now_ms()));
  if (!errand && may_poll() && Clock::now() >= next_poll_) errand = Errand{.kind = Errand::Kind::take};
  if (errand) courier_.send(std::move(*errand));
  return {};
}

std::optional<int> Supervisor::exit_status() {
  if (!running_.empty() || !courier_.idle()) return std::nullopt;
  if (stopping_) {
    if (posting_.due_ms()) return std::nullopt;
    if (settings_.once && status_ == 0 && posting_.posted() == 0) return 1;
    if (posting_.waiting() > 0)
      log_.write(LogLevel::warning, fmt::format("stopped; results that are posted at the next start: {}", posting_.waiting()));
    return status_;
  }
  if (!polled_out_ || !queue_.empty()) return std::nullopt;
  if (posting_.waiting() > 0) {
    if (!results_alone_since_) results_alone_since_ = Clock::now();
    if (Clock::now() - *results_alone_since_ < kOncePosting) return std::nullopt;
    log_.write(LogLevel::error, "the result could not be posted; it is kept, and posted at the next start");
    return 1;
  }
  return posting_.posted() > 0 ? 0 : 1;
}

// Until the next thing to do, in milliseconds; -1: nothing but what others do.
int Supervisor::wait_ms() const {
  std::optional<milliseconds> wait;
  const auto no_longer_than = [&](milliseconds time) { wait = std::max(milliseconds(0), wait ? std::min(*wait, time) : time); };
  const auto until = [](Clock::time_point moment) { return std::chrono::ceil<milliseconds>(moment - Clock::now()); };
  if (courier_.idle()) {
    if (const auto due = posting_.due_ms()) no_longer_than(milliseconds(*due - now_ms()));
    if (may_poll()) no_longer_than(until(next_poll_));
  }
  if (!stopping_ && !queue_.empty() && running_.size() < settings_.concurrent) no_longer_than(until(next_start_));
  for (const auto& [number, running] : running_) {
    if (running.deadline != Clock::time_point::max()) no_longer_than(until(running.deadline));
  }
  if (results_alone_since_) no_longer_than(until(*results_alone_since_ + kOncePosting));
  return wait ? static_cast<int>(std::min<std::int64_t>(wait->count(), 60'000)) : -1;
}

Result<void> Supervisor::wait() {
  std::vector<pollfd> fds = {{signals_, POLLIN, 0}, {courier_.fd(), POLLIN, 0}};
  for (const auto& [number, running] : running_) {
    fds.push_back({running.worker.pidfd(), POLLIN, 0});
    if (!running.graded) fds.push_back({running.worker.files_fd(), POLLIN, 0});
  }
  if (::poll(fds.data(), fds.size(), wait_ms()) < 0 && errno != EINTR) return fail_errno("wait for tasks");
  hear_signals();
  TRY(hear_courier());
  return hear_workers();
}

Result<void> Supervisor::hear_courier() {
  const auto end = courier_.fetch();
  if (!end) return {};
  if (end->kind != Errand::Kind::take) return posting_.ended(*end, now_ms());
  if (!end->taken) {
    hear_failure(end->taken.error());
    return {};
  }
  if (failing_since_) log_.write(LogLevel::info, fmt::format("the backend answers again, after {}", ago(*failing_since_)));
  failing_since_.reset();
  last_failure_.clear();
  failures_ = 0;
  answered_ = true;
  return hear_task(*end->taken);
}

Result<void> Supervisor::hear_task(const TaskAnswer& answer) {
  next_poll_ = Clock::now() + std::max<milliseconds>(settings_.check_interval, kLeastInterval);
  if (settings_.once) polled_out_ = true;
  if (!answer.available) {
    log_.write(settings_.once ? LogLevel::warning : LogLevel::debug, "there is no task");
    return {};
  }
  const std::string key = answer.task.key();
  TRY_ASSIGN(auto entry, outbox_.take(answer.task, now_ms()));
  if (!entry) {
    metrics_.duplicate_dropped();
    log_.write(key == last_duplicate_ ? LogLevel::debug : LogLevel::warning, "is offered again and dropped: it is in flight or done", key);
    last_duplicate_ = key;
    return {};
  }
  next_poll_ = Clock::now();  // there may be another one
  if (!answer.problem.empty()) return finish(std::move(*entry), grade_of_error(answer.problem), {});
  log_.write(LogLevel::debug, fmt::format("is taken (task {})", entry->number), key);
  queue_.push_back(std::move(*entry));
  return {};
}

void Supervisor::hear_failure(const BackendFailure& failure) {
  using Kind = BackendFailure::Kind;
  if (failure.kind == Kind::interrupted) return;
  metrics_.backend_failed(kind_word(failure.kind));
  ++failures_;
  const auto now = Clock::now();
  next_poll_ = now + backoff(failures_, std::uniform_real_distribution<double>(0, 1)(random_));
  const bool hopeless =
      (failure.kind == Kind::unauthorised || failure.kind == Kind::unusable) && (!answered_ || failures_ >= kMostRefusals);
  if (settings_.once) polled_out_ = true;
  if (hopeless) {
    log_.write(LogLevel::critical, failure.what);
    status_ = kBadBackend;
    return stop(false);
  }
  const bool said = failure.what == last_failure_ && failing_since_ && now - *failing_since_ < kSayAgain;
  if (!failing_since_ || !said) failing_since_ = now;
  last_failure_ = failure.what;
  log_.write(said ? LogLevel::debug : LogLevel::error, failure.what);
}

Result<void> Supervisor::hear_workers() {
  TRY(hear_grades());
  std::vector<std::int64_t> ended;
  for (auto& [number, running] : running_) {
    if (is_readable(running.worker.pidfd())) {
      ended.push_back(number);
    } else if (Clock::now() >= running.deadline) {
      running.worker.kill();
      running.killed = true;
      ended.push_back(number);
    }
  }
  for (const std::int64_t number : ended) TRY(end(std::move(running_.extract(number).mapped())));
  return {};
}

// Nobody waits for his grade because his worker still makes things ready for others.
Result<void> Supervisor::hear_grades() {
  for (auto& [number, running] : running_) {
    if (running.graded || !is_readable(running.worker.files_fd())) continue;
    auto grade = running.worker.early_grade();
    if (!grade) continue;
    running.graded = true;
    TRY(finish(running.entry, std::move(*grade), std::chrono::duration_cast<milliseconds>(Clock::now() - running.began)));
  }
  return {};
}

// Of a worker that has ended or was killed.
Result<void> Supervisor::end(Running running) {
  if (running.killed)
    log_.write(LogLevel::error, fmt::format("the worker was killed: it was still there after {}", ago(running.began)),
               running.entry.task.key());
  if (running.graded) return {};
  Grade grade = running.worker.grade();
  if (running.killed && grade.is_error && grade.cases.empty())
    grade = grade_of_error(
        interrupted_ ? kStopText
                     : fmt::format("the task could not be run: its worker was still there after {} and was killed", ago(running.began)));
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - running.began);
  return finish(std::move(running.entry), std::move(grade), took);
}

Result<void> Supervisor::finish(OutboxEntry entry, Grade grade, milliseconds took) {
  const std::string key = entry.task.key();
  const WireForm form = settings_.wire.value_or(entry.task.form);
  if (interrupted_ && form == WireForm::attempt && grade.is_error && grade.error_details == kStopText) {
    // In this form nothing is told of a task that was stopped.
    log_.write(LogLevel::info, fmt::format("was stopped; it is run at the next start (task {})", entry.number), key);
    if (entry.attempts > 0) --entry.attempts;
    return outbox_.change(entry);
  }
  if (grade.is_error && grade.cases.empty()) TRY(blame_the_disk(entry));
  const std::string_view result = result_word(grade);
  ++ended_[std::string(result)];
  metrics_.task_ended(result, took);
  record(entry, grade, took);
  log_.write(LogLevel::info,
             grade.is_error ? fmt::format("error after {}: {}", format_duration(took), grade.error_details)
                            : fmt::format("{} after {}: {}", result, format_duration(took), counts_of(grade)),
             key);
  entry.state = State::finished;
  entry.grade = std::move(grade);
  entry.next_post_ms = now_ms();
  TRY(outbox_.change(entry));
  posting_.add(std::move(entry));
  prune();
  return {};
}

// A task that failed while our disk was full is run again at the next start: what came of that is nobody's grade.
Result<void> Supervisor::blame_the_disk(OutboxEntry& entry) {
  auto room = directories_.check_room();
  if (room) return {};
  if (entry.attempts > 0) --entry.attempts;
  [[maybe_unused]] const auto kept = outbox_.change(entry);  // there may be no room for that either
  return room;
}

void Supervisor::hear_signals() {
  while (const int number = take_signal(signals_)) {
    if (number == SIGUSR1) {
      tell_status();
    } else if (number == SIGHUP) {
      log_.reopen();
    } else if (!interrupted_) {
      log_.write(LogLevel::info, fmt::format("stops; tasks that are interrupted: {}", running_.size()));
      stop(true);
    } else {
      log_.write(LogLevel::warning, "stopped at once by a second signal");
      for (auto& [task, running] : running_) running.worker.kill();
      ::_exit(kSecondSignal);  // waits for no thread and no server; the outbox knows all that has to be known
    }
  }
}

// Takes no more tasks. What runs is interrupted, or goes on to its end.
void Supervisor::stop(bool interrupt) {
  stopping_ = true;
  courier_.interrupt_take();
  posting_.hurry();
  if (!interrupt) return;
  interrupted_ = true;
  const auto deadline = Clock::now() + kStopGrace;
  for (auto& [number, running] : running_) {
    running.worker.interrupt();
    running.deadline = std::min(running.deadline, deadline);
  }
}

void Supervisor::tell_status() {
  std::string runs;
  for (const auto& [number, running] : running_)
    runs += fmt::format("{}{} (task {}, for {})", runs.empty() ? "" : ", ", running.entry.task.key(), number, ago(running.began));
  std::string results;
  for (const auto& [result, count] : ended_) results += fmt::format(", {} {}", result, count);
  const std::string backend = failing_since_                ? fmt::format("fails since {}: {}", ago(*failing_since_), last_failure_)
                              : !posting_.trouble().empty() ? "answers; last trouble: " + posting_.trouble()
                              : answered_                   ? "answers"
                                                            : "not asked yet";
  log_.tell(fmt::format("status: running {}{}{}; queued {}; to be posted {}; posted {}, given up {}{}; backend {}", running_.size(),
                        runs.empty() ? "" : ": ", runs, queue_.size(), posting_.waiting(), posting_.posted(), posting_.given_up(), results,
                        backend));
}

void Supervisor::record(const OutboxEntry& entry, const Grade& grade, milliseconds took) const {
  RunRecord run;
  run.started_ms = now_ms() - took.count();
  run.front_end = "agent";
  run.name = printable_name(what_of(entry.task));
  run.outcome = word(grade.is_error ? Outcome::Kind::setup_failed : Outcome::Kind::exited);
  run.code = grade.any_unexpected ? 1 : 0;
  run.wall_us = std::chrono::microseconds(took).count();
  std::uint64_t peak_kib = 0;
  for (const CaseGrade& test : grade.cases) peak_kib = std::max(peak_kib, test.memory_kib);
  if (peak_kib > 0) run.peak_memory_bytes = peak_kib << 10;
  const nlohmann::ordered_json details = {{"task", entry.task.key()},
                                          {"result", result_word(grade)},
                                          {"message", grade.error_details.substr(0, 500)},
                                          {"tests", grade.cases.size()},
                                          {"passed", count_of(grade, CaseGrade::Verdict::passed)},
                                          {"directory", directories_.path(entry.number)}};
  run.details = details.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  [[maybe_unused]] const auto spooled = spool_run(run);  // history is a convenience: without it the grade is as good
}

void Supervisor::prune() {
  std::set<std::int64_t> in_use;
  for (const auto& [number, running] : running_) in_use.insert(number);
  if (auto pruned = directories_.prune(settings_.keep_tasks, in_use); !pruned) log_.write(LogLevel::warning, pruned.error().what);
}

}  // namespace casemate
