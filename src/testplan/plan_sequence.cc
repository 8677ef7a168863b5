#include "testplan/plan_sequence.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "testplan/checks.h"

namespace casemate {
namespace {

constexpr unsigned kMostLost = 3;

// The first step of a set-up or tear-down that counts against it.
std::string problem_of(std::string_view what, const std::vector<PlanStep>& steps, const std::vector<StepResult>& results) {
  for (std::size_t at = 0; at < results.size(); ++at) {
    if (results[at].status != PlanStatus::passed && !says_nothing(steps[at]))
      return fmt::format("the {}'s step '{}': {}", what, printable_line(steps[at].id), results[at].reason);
  }
  return "";
}

}  // namespace

void PlanSequence::begin() {
  life_.emplace(life());
  life_->start();
}

bool PlanSequence::proceed() { return !done() && brought_->arrival.proceed(); }

PlanTask<bool> PlanSequence::life() {
  for (const std::size_t index : cases_) {
    if (!progress_.goes_on()) break;
    const PlanCase& one = progress_.plan.cases[index];
    if (progress_.options.done.contains(one.id)) {
      progress_.resume(index);
      for (const StepResult& step : progress_.result.cases[index].steps) remember(step);
      continue;
    }
    if (std::string why = progress_.lacks(one.depends_on, nullptr, nullptr); !why.empty()) {
      progress_.listener.case_started(index);
      CaseResult skipped;
      skipped.status = PlanStatus::skipped;
      skipped.reason = std::move(why);
      skipped.steps.assign(one.steps.size(), {.status = PlanStatus::skipped});
      progress_.finish(index, std::move(skipped));
      continue;
    }
    if (lost_ > kMostLost || !open_problem_.empty()) {
      progress_.result.cases[index].reason = open_problem_;
      continue;
    }
    co_await one_case(index);
  }
  co_await close();
  co_return true;
}

// ---- contexts

// A context with its set-up done; false: there is none.
PlanTask<bool> PlanSequence::open_fresh() {
  brought_->opened.reset();
  auto opened = progress_.engine.open_context(progress_.options.base, [brought = brought_](Result<std::unique_ptr<Context>> context) {
    brought->opened = std::move(context);
    brought->arrival.arrive();
  });
  if (!opened) {
    progress_.refused = opened.error();
    open_problem_ = opened.error().what;
    co_return false;
  }
  co_await brought_->arrival;
  Result<std::unique_ptr<Context>> context = std::move(*brought_->opened);
  brought_->opened.reset();
  if (!context) {
    open_problem_ = context.error().what;
    if (opened_ > 0 && context.error().where == kExecutorGone) progress_.lose(open_problem_);
    if (!progress_.cancelled() && progress_.result.problem.empty()) progress_.result.problem = open_problem_;
    co_return false;
  }
  context_ = std::move(*context);
  ++opened_;
  present_.clear();
  running_.clear();
  has_services_ = crowded_ = false;
  setup_ = co_await global_steps(progress_.plan.setup, false);
  setup_problem_ = problem_of("set-up", progress_.plan.setup, setup_);
  PlanProgress::keep_worst(progress_.result.setup, setup_);
  co_return true;
}

PlanTask<bool> PlanSequence::close() {
  if (alive() && !progress_.engine.cancelled_at_once()) {
    const std::vector<StepResult> ended = co_await global_steps(progress_.plan.teardown, true);
    PlanProgress::keep_worst(progress_.result.teardown, ended);
    if (const std::string problem = problem_of("tear-down", progress_.plan.teardown, ended); !problem.empty())
      progress_.listener.note(problem);
    if (alive() && !crowded_) {
      co_await hear_services(progress_.plan.setup, setup_);
      PlanProgress::add_output(progress_.result.setup, setup_);
      if (const std::string problem = problem_of("set-up", progress_.plan.setup, setup_); setup_problem_.empty() && !problem.empty())
        progress_.listener.note(problem);
      co_await say_ended_services();
    }
  }
  context_.reset();
  co_return true;
}

// `all`: also after one that did not pass, and after a cancel.
PlanTask<std::vector<StepResult>> PlanSequence::global_steps(const std::vector<PlanStep>& steps, bool all) {
  std::vector<StepResult> results(steps.size());
  Before before;
  bool good = true;
  for (std::size_t at = 0; at < steps.size(); ++at) {
    const bool runs = all ? !progress_.engine.cancelled_at_once() : good && !progress_.cancelled();
    if (!runs) {
      results[at].status = PlanStatus::skipped;
      results[at].reason = progress_.cancelled() ? "interrupted" : "a step before it did not pass";
      continue;
    }
    results[at] = co_await step(steps[at], Heard{}, before);
    if (results[at].outcome && !steps[at].command.empty()) before.last = &results[at];
    if (results[at].status != PlanStatus::passed && !says_nothing(steps[at])) good = false;
  }
  co_return results;
}

// ---- cases

PlanTask<bool> PlanSequence::one_case(std::size_t index) {
  const PlanCase& one = progress_.plan.cases[index];
  progress_.listener.case_started(index);
  if (progress_.options.isolate_cases || crowded_) co_await close();
  CaseResult ended = co_await attempts(index);
  ended.steps.resize(one.steps.size());
  if (progress_.cancelled()) co_return false;  // it is not_run, as if it had never begun
  if (context_ && !alive()) {
    ++lost_;
    progress_.listener.note(fmt::format("the context of '{}' was lost: {}", printable_line(one.id), ended.reason));
    context_.reset();
    if (lost_ > kMostLost) open_problem_ = fmt::format("not run: contexts were lost {} times, last in '{}'", lost_, printable_line(one.id));
  }
  if (!open_problem_.empty() && ended.status == PlanStatus::not_run) {
    progress_.result.cases[index].reason = open_problem_;
    co_return false;
  }
  if (alive() && !progress_.options.collect_to.empty()) co_await collect(index, ended);
  if (alive() && crowded_)
    progress_.listener.note(fmt::format("'{}' hit the limit on processes: the rest runs in a fresh context", printable_line(one.id)));
  if (ended.status == PlanStatus::passed) present_.insert(index);
  progress_.finish(index, std::move(ended));
  co_return true;
}

// Until it passes or has no more tries; each but the first in a fresh context.
PlanTask<CaseResult> PlanSequence::attempts(std::size_t index) {
  CaseResult ended;
  std::vector<unsigned> before(progress_.plan.cases[index].steps.size());
  for (unsigned tried = 0; tried <= progress_.options.retries && !progress_.cancelled(); ++tried) {
    if (tried > 0) {
      progress_.listener.note(
          fmt::format("'{}' did not pass ({}): again in a fresh context", printable_line(progress_.plan.cases[index].id), ended.reason));
      co_await close();
    }
    if (!alive()) {
      const bool there = co_await open_fresh();
      if (!there) break;
    }
    std::string problem = setup_problem_;
    if (problem.empty()) problem = co_await catch_up(index);
    if (problem.empty()) {
      ended = co_await attempt(index, true);
    } else {
      ended = {};
      ended.status = PlanStatus::error;
      ended.reason = std::move(problem);
      ended.steps.resize(before.size());
    }
    for (std::size_t at = 0; at < before.size() && at < ended.steps.size(); ++at) before[at] = ended.steps[at].attempts += before[at];
    if (ended.status == PlanStatus::passed || ended.status == PlanStatus::skipped) break;
  }
  co_return ended;
}

// Runs again what `index` needs and this context hasn't seen; why that can't be, "" if it is done.
PlanTask<std::string> PlanSequence::catch_up(std::size_t index) {
  const auto& done = progress_.options.done;
  if (opened_ <= 1 && done.empty()) co_return "";
  for (const std::size_t other : progress_.needed_by(index)) {
    const PlanCase& needed = progress_.plan.cases[other];
    if (present_.contains(other) || progress_.result.cases[other].status != PlanStatus::passed) continue;
    const CaseResult again = co_await attempt(other, false);
    if (again.status != PlanStatus::passed)
      co_return fmt::format("needs '{}', which did not pass again in a fresh context: {}", printable_line(needed.id), again.reason);
    progress_.take_values(other, again);
    present_.insert(other);
  }
  co_return "";
}

PlanTask<CaseResult> PlanSequence::attempt(std::size_t index, bool heard) {
  const PlanCase& one = progress_.plan.cases[index];
  const auto began = std::chrono::steady_clock::now();
  CaseResult ended;
  ended.steps.resize(one.steps.size());
  Lack lack = co_await missing(one.depends_on);
  if (!lack.why.empty()) {
    for (StepResult& each : ended.steps) each.status = PlanStatus::skipped;
    ended.status = lack.status;
    ended.reason = std::move(lack.why);
    co_return ended;
  }
  std::string skipped_for;
  Before before{&one, &ended, nullptr};
  for (std::size_t at = 0; at < one.steps.size(); ++at) {
    const PlanStep& each = one.steps[at];
    const bool teardown = each.type == PlanStep::Type::teardown;
    if (progress_.cancelled() && skipped_for.empty()) skipped_for = "interrupted";
    if (progress_.engine.cancelled_at_once() || (!skipped_for.empty() && !teardown)) {
      ended.steps[at].status = PlanStatus::skipped;
      ended.steps[at].reason = skipped_for;
      continue;
    }
    const Heard whose{heard ? std::optional(index) : std::nullopt, at};
    ended.steps[at] = co_await step(each, whose, before);
    if (ended.steps[at].outcome && !each.command.empty()) before.last = &ended.steps[at];
    if (ended.steps[at].status != PlanStatus::passed && !says_nothing(each) && skipped_for.empty())
      skipped_for = fmt::format("'{}' did not pass", printable_line(each.id));
  }
  if (alive() && !progress_.cancelled()) co_await hear_services(one.steps, ended.steps);
  judge(one, ended);
  ended.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  co_return ended;
}

// ---- files

PlanTask<bool> PlanSequence::collect(std::size_t index, const CaseResult& ended) {
  std::set<std::string> paths;
  for (const StepResult& each : ended.steps) {
    for (const Change& change : each.changes) {
      if (change.kind != Change::Kind::deleted) paths.insert("/" + change.path);
    }
  }
  if (paths.empty()) co_return true;
  brought_->collected.reset();
  context_->collect({paths.begin(), paths.end()}, progress_.options.collect_to + "/" + case_directory(progress_.plan, index),
                    [brought = brought_](Result<JobResult> collected) {
                      brought->collected = std::move(collected);
                      brought->arrival.arrive();
                    });
  co_await brought_->arrival;
  const Result<JobResult> collected = std::move(*brought_->collected);
  brought_->collected.reset();
  const std::string problem = collected ? collected->collect_error : collected.error().what;
  if (!problem.empty())
    progress_.listener.note(
        fmt::format("not all files of '{}' could be kept: {}", printable_line(progress_.plan.cases[index].id), printable_line(problem)));
  co_return problem.empty();
}

}  // namespace casemate
