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

#include "apps/agent/tests_run.h"
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
constexpr std::uint32_t kMostInVain = 5;                 // workers that break over one task, before it is an error
constexpr auto kAsking = std::chrono::minutes(12);       // for the tests: two runs of git
constexpr std::uint32_t kMostAttempts = 16;              // to run a task, of which the agent did not see the end
constexpr std::uint32_t kMostRefusals = 10;              // in a row, of an account that was good before
constexpr int kSecondSignal = 130;
constexpr int kBadBackend = 2;
constexpr int kNoTests = 2;

std::int64_t now_ms() { return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string what_of(const Task& task) {
  return task.branch.empty() ? shown_url(task.repository_url) : fmt::format("{} at {}", shown_url(task.repository_url), task.branch);
}

// How it ended, in the words of all other jobs; its result, in those of a grade, is in the details.
Outcome::Kind kind_of(const Grade& grade) {
  if (!grade.is_error) return Outcome::Kind::exited;
  if (grade.error_details.starts_with(kTimeoutText)) return Outcome::Kind::timed_out;
  return grade.error_details == kStopText ? Outcome::Kind::cancelled : Outcome::Kind::setup_failed;
}

std::string_view kind_word(BackendFailure::Kind kind) {
  using Kind = BackendFailure::Kind;
  return kind == Kind::unauthorised ? "unauthorised"
         : kind == Kind::nonsense   ? "nonsense"
         : kind == Kind::unusable   ? "unusable"
                                    : "unreachable";
}

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

// So that what stands behind it still fits a backend's column.
std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 150;
  return text.size() <= kMost ? text : to_utf8(text.substr(0, kMost)) + "...";
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
    TRY(ask_for_tests());
    TRY(start_tasks());
    TRY(send_errand());
    metrics_.set_gauges(running_.size(), posting_.waiting(), queue_.size(), hindrance_.there());
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

// Before anything else: who has given a wrong address is to hear of it at once, not from his students.
Result<void> Supervisor::ask_for_tests() {
  if (tests_there_ || asking_ || stopping_ || in_vain_ || Clock::now() < hindrance_.next_try()) return {};
  const auto directory = directories_.make_asking();
  if (!directory && !is_for_want(directory.error().errno_value)) return std::unexpected(directory.error());
  WorkOrder order = order_for({.attempt = 1, .repository_url = settings_.tests_repo, .branch = "main"});
  order.asks_only = true;
  auto worker = directory ? WorkerProcess::start(*directory, order) : std::unexpected(directory.error());
  if (worker)
    asking_ = Asking{std::move(*worker), Clock::now() + kAsking};
  else
    hinder("no task is taken", grade_of_error(std::move(worker.error().what), Fault::host), "", Proof::started);
  return {};
}

void Supervisor::hear_asking() {
  if (!asking_) return;
  const bool late = Clock::now() >= asking_->deadline;
  if (!late && !is_readable(asking_->worker.pidfd())) return;
  if (late) asking_->worker.kill();
  const Grade grade = asking_->worker.grade();
  asking_.reset();
  directories_.remove_asking();
  const bool first = !asked_once_;
  asked_once_ |= grade.fault == Fault::tests;  // it was away: then what it says may be how it comes up
  if (!grade.is_error) {
    tests_there_ = true;
    return go_on();
  }
  if (grade.fault == Fault::no_tests && first) {
    log_.write(LogLevel::critical, fmt::format("{}; give one that git can clone: --tests-repo URL[@REVISION]", grade.error_details));
    status_ = kNoTests;
    return stop(false);
  }
  hinder("no task is taken", grade, "", Proof::ready);
}

bool Supervisor::may_start() const {
  return tests_there_ && !stopping_ && !in_vain_ && !queue_.empty() && running_.size() < settings_.concurrent && !probe_;
}

Result<void> Supervisor::start_tasks() {
  while (may_start() && Clock::now() >= hindrance_.next_try()) {
    OutboxEntry entry = std::move(queue_.front());
    queue_.pop_front();
    TRY(start(std::move(entry)));
  }
  return {};
}

// What can't be run is told as that, after a crash too.
Result<void> Supervisor::finish_unrun(OutboxEntry entry) {
  Grade grade = grade_of_error(entry.task.problem);
  return finish(std::move(entry), std::move(grade), {});
}

Result<void> Supervisor::start(OutboxEntry entry) {
  if (!entry.task.problem.empty()) return finish_unrun(std::move(entry));
  if (entry.attempts >= kMostAttempts)
    return finish(
        std::move(entry),
        grade_of_error(fmt::format("the task could not be run: {} times it was begun, and never was there an end", kMostAttempts)), {});
  ++entry.attempts;
  TRY(outbox_.change(entry));
  const auto directory = directories_.make(entry.number);
  if (!directory && !is_for_want(directory.error().errno_value)) return std::unexpected(directory.error());
  WorkOrder order = order_for(entry.task);
  order.tells_ready = hindrance_.there() && proof_ == Proof::ready;
  auto worker = directory ? WorkerProcess::start(*directory, order) : std::unexpected(directory.error());
  if (!worker) {
    auto finished = finish(std::move(entry), grade_of_error(std::move(worker.error().what), Fault::host), {});
    proof_ = Proof::started;
    return finished;
  }
  if (proof_ == Proof::started) go_on();
  log_.write(LogLevel::info, fmt::format("starts: {} (task {})", what_of(entry.task), entry.number), entry.task.key());
  const auto now = Clock::now();
  const auto deadline = settings_.timeout.count() == 0 ? Clock::time_point::max() : now + settings_.timeout + kPreparation + kGrace;
  const std::int64_t number = entry.number;
  if (hindrance_.there()) probe_ = number;
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
          .clone_network = settings_.clone_network,
          .clone_credentials = settings_.clone_credentials};
}

bool Supervisor::may_poll() const {
  return tests_there_ && !stopping_ && !polled_out_ && queue_.empty() && running_.size() < settings_.concurrent && !probe_;
}

Result<void> Supervisor::send_errand() {
  if (!courier_.idle()) return {};
  // A result that is ready would be overtaken by a poll, which may be answered slowly.
  TRY_ASSIGN(auto errand, posting_.next(now_ms()));
  if (!errand && may_poll() && Clock::now() >= next_poll_) errand = Errand{.kind = Errand::Kind::take};
  if (errand) courier_.send(std::move(*errand));
  return {};
}

std::optional<int> Supervisor::exit_status() {
  if (!running_.empty() || asking_ || !courier_.idle()) return std::nullopt;
  if (stopping_) {
    if (posting_.due_ms()) return std::nullopt;
    if (settings_.once && status_ == 0 && posting_.posted() == 0) return 1;
    if (posting_.waiting() > 0)
      log_.write(LogLevel::warning, fmt::format("stopped; results that are posted at the next start: {}", posting_.waiting()));
    return status_;
  }
  if (!in_vain_ && (!polled_out_ || !queue_.empty())) return std::nullopt;
  if (posting_.waiting() > 0) {
    if (!results_alone_since_) results_alone_since_ = Clock::now();
    if (Clock::now() - *results_alone_since_ < kOncePosting) return std::nullopt;
    log_.write(LogLevel::error, "the result could not be posted; it is kept, and posted at the next start");
    return 1;
  }
  return posting_.posted() > 0 && !in_vain_ ? 0 : 1;
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
  if (may_start() || (!tests_there_ && !asking_ && !stopping_ && !in_vain_)) no_longer_than(until(hindrance_.next_try()));
  if (asking_) no_longer_than(until(asking_->deadline));
  for (const auto& [number, running] : running_) {
    if (running.deadline != Clock::time_point::max()) no_longer_than(until(running.deadline));
  }
  if (results_alone_since_) no_longer_than(until(*results_alone_since_ + kOncePosting));
  return wait ? static_cast<int>(std::min<std::int64_t>(wait->count(), 60'000)) : -1;
}

Result<void> Supervisor::wait() {
  std::vector<pollfd> fds = {{signals_, POLLIN, 0}, {courier_.fd(), POLLIN, 0}};
  if (asking_) fds.push_back({asking_->worker.pidfd(), POLLIN, 0});
  for (const auto& [number, running] : running_) {
    fds.push_back({running.worker.pidfd(), POLLIN, 0});
    if (!running.graded) fds.push_back({running.worker.files_fd(), POLLIN, 0});
  }
  if (::poll(fds.data(), fds.size(), wait_ms()) < 0 && errno != EINTR) return fail_errno("wait for tasks");
  hear_signals();
  hear_asking();
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
  if (!entry->task.problem.empty()) return finish_unrun(std::move(*entry));
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
    if (probe_ == number && proof_ == Proof::ready && running.worker.is_ready()) go_on();
    if (!grade || grade->fault != Fault::none) continue;  // one that is run again needs its directory, which is the worker's until its end
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
  if (probe_ != running.entry.number) hindrance_.hurry(Clock::now());  // its descriptors and its memory are free
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
  if (interrupted_ && (form == WireForm::attempt || hindrance_.there()) && grade.is_error && grade.error_details == kStopText) {
    // In this form nothing is told of a task that was stopped, and in neither of one that could not have been graded.
    log_.write(LogLevel::info, fmt::format("was stopped; it is run at the next start (task {})", entry.number), key);
    if (entry.attempts > 0) --entry.attempts;
    return outbox_.change(entry);
  }
  if (grade.is_error && grade.cases.empty()) TRY(blame_the_disk(entry));
  if (grade.fault != Fault::none) return hold(std::move(entry), grade);
  if (probe_ == entry.number) go_on();
  const std::string_view result = result_word(grade);
  ++ended_[std::string(result)];
  metrics_.task_ended(result, took);
  record(entry, grade, took);
  const std::string commit = grade.commit.empty() ? "" : fmt::format(" (commit {})", grade.commit);
  log_.write(
      LogLevel::info,
      fmt::format("{} after {}: {}{}", result, format_duration(took), grade.is_error ? grade.error_details : counts_of(grade), commit),
      key);
  entry.state = State::finished;
  entry.grade = std::move(grade);
  entry.next_post_ms = now_ms();
  TRY(outbox_.change(entry));
  posting_.add(std::move(entry));
  prune();
  return {};
}

// A task that could not be run by no fault of its student's: it stays taken, nothing is posted, and it is the first that is tried again.
Result<void> Supervisor::hold(OutboxEntry entry, const Grade& grade) {
  metrics_.task_held(word(grade.fault == Fault::no_tests ? Fault::tests : grade.fault));
  if (probe_ == entry.number) probe_.reset();
  const bool is_alone = grade.fault == Fault::worker || grade.fault == Fault::unreached;  // it may be this task's alone
  if (!is_alone) {
    if (entry.attempts > 0) --entry.attempts;  // one whose worker breaks is not tried for ever, over restarts neither
  } else if (entry.attempts >= kMostInVain) {
    go_on();
    const std::string text =
        grade.fault == Fault::unreached
            ? grade.error_details
            : fmt::format("the task could not be run, which is not the student's doing: {}; tell whoever runs the grading",
                          shortened(grade.error_details));
    return finish(std::move(entry), grade_of_error(text), {});
  }
  const bool tests = grade.fault == Fault::tests || grade.fault == Fault::no_tests;
  hinder(fmt::format("waits (task {})", entry.number), grade, entry.task.key(), tests ? Proof::ready : Proof::graded);
  TRY(outbox_.change(entry));
  // Whether it is this task alone shows when another one is tried.
  is_alone ? queue_.push_back(std::move(entry)) : queue_.push_front(std::move(entry));
  return {};
}

void Supervisor::hinder(std::string_view waiting, const Grade& grade, const std::string& key, Proof proof) {
  proof_ = proof;
  const LogLevel level = hindrance_.met(grade.error_details, Clock::now(), std::uniform_real_distribution<double>(0, 1)(random_));
  log_.write(level, fmt::format("{}: {}", waiting, grade.error_details), key);
  if (!settings_.once) return;
  in_vain_ = true;
  polled_out_ = true;
}

void Supervisor::go_on() {
  probe_.reset();
  const std::string what = hindrance_.what();
  if (const auto lasted = hindrance_.over(Clock::now()))
    log_.write(LogLevel::info, fmt::format("tasks are run again, after {} of: {}",
                                           format_duration(std::chrono::duration_cast<milliseconds>(*lasted)), what));
}

// A task that failed while our disk was full is run again at the next start: what came of that is nobody's grade.
Result<void> Supervisor::blame_the_disk(OutboxEntry& entry) {
  auto room = directories_.check_room();
  if (room || room.error().errno_value == EMFILE || room.error().errno_value == ENFILE) return {};
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
  if (asking_) {
    asking_.reset();
    directories_.remove_asking();
  }
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
  const std::string kept =
      hindrance_.there() ? fmt::format(" (kept for {} from being run: {})", ago(hindrance_.since()), hindrance_.what()) : "";
  log_.tell(fmt::format("status: running {}{}{}; queued {}{}; to be posted {}; posted {}, given up {}{}; backend {}", running_.size(),
                        runs.empty() ? "" : ": ", runs, queue_.size(), kept, posting_.waiting(), posting_.posted(), posting_.given_up(),
                        results, backend));
}

void Supervisor::record(const OutboxEntry& entry, const Grade& grade, milliseconds took) const {
  RunRecord run;
  run.started_ms = now_ms() - took.count();
  run.front_end = "agent";
  run.name = printable_name(fmt::format("{}: {}", entry.task.key(), what_of(entry.task)));
  run.outcome = word(kind_of(grade));
  run.code = grade.any_unexpected ? 1 : 0;
  run.wall_us = std::chrono::microseconds(took).count();
  std::uint64_t peak_kib = 0;
  for (const CaseGrade& test : grade.cases) peak_kib = std::max(peak_kib, test.memory_kib);
  if (peak_kib > 0) run.peak_memory_bytes = peak_kib << 10;
  const nlohmann::ordered_json details = {{"task", entry.task.key()},
                                          {"result", result_word(grade)},
                                          {"commit", grade.commit},
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
