#include "testplan/plan_progress.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "testplan/extraction.h"
#include "testplan/plan_order.h"

namespace casemate {
namespace {

std::string_view what_happened(PlanStatus status) {
  switch (status) {
    case PlanStatus::failed:
      return "failed";
    case PlanStatus::error:
      return "ended in error";
    case PlanStatus::skipped:
      return "was skipped";
    default:
      return "was not run";
  }
}

}  // namespace

PlanProgress::PlanProgress(Engine& engine_, const TestPlan& plan_, const PlanRunOptions& options_, PlanListener& listener_)
    : engine(engine_), plan(plan_), options(options_), listener(listener_), needs_(case_needs(plan_)) {
  result.cases.resize(plan.cases.size());
  variables_ = extracted_variables(plan);
  for (std::size_t index = 0; index < plan.cases.size(); ++index) {
    const PlanCase& one = plan.cases[index];
    places_.emplace(one.id, Place{index, {}});
    result.cases[index].steps.resize(one.steps.size());
    for (std::size_t at = 0; at < one.steps.size(); ++at) {
      places_.emplace(one.steps[at].id, Place{index, at});
      for (const Extraction& value : one.steps[at].extractions) {
        if (!value.of.empty()) wanted_[value.of].push_back(&value);
      }
    }
  }
  for (const PlanStep& step : plan.teardown) {
    for (const Extraction& value : step.extractions) {
      if (!value.of.empty()) wanted_[value.of].push_back(&value);
    }
  }
  std::vector<bool> selected = options.selected;
  if (selected.empty()) selected.assign(plan.cases.size(), true);
  selected.resize(plan.cases.size());
  order = case_order(plan, selected);
  for (std::size_t index = 0; index < plan.cases.size(); ++index) {
    if (!selected[index]) result.cases[index].reason = "not chosen";
  }
}

void PlanProgress::stop(std::string why) {
  if (stopped_.empty()) stopped_ = std::move(why);
}

void PlanProgress::lose(const std::string& why) {
  cancelled_ = result.executor_gone = true;
  if (result.problem.empty()) result.problem = why;
}

std::string PlanProgress::lacks(const std::vector<PlanDependency>& needs, const PlanCase* own, const CaseResult* own_result) const {
  for (const PlanDependency& need : needs) {
    if (need.id.empty()) continue;
    const auto found = places_.find(need.id);
    if (found == places_.end()) continue;
    const auto& [index, step] = found->second;
    const CaseResult& whose = own && &plan.cases[index] == own && own_result ? *own_result : result.cases[index];
    const PlanStatus status = step ? (*step < whose.steps.size() ? whose.steps[*step].status : PlanStatus::not_run) : whose.status;
    if (status != PlanStatus::passed) return fmt::format("needs '{}', which {}", printable_line(need.id), what_happened(status));
  }
  return "";
}

std::vector<std::size_t> PlanProgress::needed_by(std::size_t index) const {
  std::vector<bool> needed(plan.cases.size());
  std::vector<std::size_t> open{index};
  while (!open.empty()) {
    const std::size_t next = open.back();
    open.pop_back();
    for (const std::size_t other : needs_[next]) {
      if (needed[other] || other == index) continue;
      needed[other] = true;
      open.push_back(other);
    }
  }
  std::vector<std::size_t> found;
  std::copy_if(order.begin(), order.end(), std::back_inserter(found), [&](std::size_t other) { return needed[other]; });
  return found;
}

void PlanProgress::finish(std::size_t index, CaseResult ended) {
  take_values(index, ended);
  listener.case_finished(index, ended);
  if (options.fail_fast && (ended.status == PlanStatus::failed || ended.status == PlanStatus::error))
    stop(fmt::format("'{}' did not pass, and the run ends with the first that doesn't", printable_line(plan.cases[index].id)));
  kept_.take(ended);
  result.cases[index] = std::move(ended);
}

void PlanProgress::resume(std::size_t index) {
  CaseResult ended = options.done.at(plan.cases[index].id);
  ended.steps.resize(plan.cases[index].steps.size());
  take_values(index, ended);
  kept_.take(ended);
  result.cases[index] = std::move(ended);
}

void PlanProgress::take_values(std::size_t index, const CaseResult& ended) {
  const PlanCase& one = plan.cases[index];
  const auto take = [&](const std::string& id, const StepResult& step) {
    const auto wanted = wanted_.find(id);
    if (wanted == wanted_.end() || !step.outcome) return;
    for (const Extraction* value : wanted->second) values_.insert_or_assign(value, extract(*value, step.out));
  };
  std::optional<std::size_t> main = one.main;
  for (std::size_t at = 0; at < ended.steps.size() && at < one.steps.size(); ++at) {
    take(one.steps[at].id, ended.steps[at]);
    if (!one.main && ended.steps[at].outcome && one.steps[at].type == PlanStep::Type::command) main = at;
  }
  if (main && *main < ended.steps.size()) take(one.id, ended.steps[*main]);
}

Result<std::string> PlanProgress::value_of(const Extraction& value) const {
  const auto found = values_.find(&value);
  if (found != values_.end()) return found->second;
  return fail(ErrorCode::not_found,
              fmt::format("no value for {}: '{}' has no output", printable_line(value.variable), printable_line(value.of)));
}

void PlanProgress::keep_worst(std::vector<StepResult>& kept, const std::vector<StepResult>& now) {
  const auto passed = [](const std::vector<StepResult>& steps) {
    return std::all_of(steps.begin(), steps.end(), [](const StepResult& step) { return step.status == PlanStatus::passed; });
  };
  if (kept.empty() || (passed(kept) && !passed(now))) kept = now;
}

void PlanProgress::add_output(std::vector<StepResult>& kept, const std::vector<StepResult>& now) {
  for (std::size_t at = 0; at < kept.size() && at < now.size(); ++at) {
    if (kept[at].out.empty()) kept[at].out = now[at].out;
    if (kept[at].status != PlanStatus::passed || now[at].status == PlanStatus::passed) continue;
    kept[at].status = now[at].status;
    kept[at].reason = now[at].reason;
  }
}

void PlanProgress::close() {
  std::string why = stopped_;
  if (const int number = engine.cancelled_by_signal(); number != 0) {
    const char* name = sigabbrev_np(number);
    why = name ? fmt::format("interrupted (SIG{})", name) : fmt::format("interrupted (signal {})", number);
  } else if (cancelled_) {
    why = result.executor_gone ? result.problem : "interrupted";
  }
  for (CaseResult& one : result.cases) {
    if (one.status == PlanStatus::not_run && one.reason.empty()) one.reason = why;
  }
}

}  // namespace casemate
