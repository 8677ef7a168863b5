#include "apps/plan/saved_run.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "base/terminal.h"
#include "testplan/plan_reading.h"

namespace casemate {
namespace {

constexpr const char* kPlanName = "the plan of that run";

// Results all say `not_run`, whatever ran before.
PlanResult nothing_of(const TestPlan& plan) {
  PlanResult nothing;
  nothing.cases.resize(plan.cases.size());
  for (std::size_t at = 0; at < plan.cases.size(); ++at) nothing.cases[at].steps.resize(plan.cases[at].steps.size());
  nothing.setup.resize(plan.setup.size());
  nothing.teardown.resize(plan.teardown.size());
  return nothing;
}

}  // namespace

std::string text_without_results(const TestPlan& plan, Document document) {
  write_result(plan, nothing_of(plan), document.value);
  document.format = DocumentFormat::json;
  document.indent = "  ";
  return to_text(document);
}

Result<PlanRunRow> find_run(const PlanHistory& history, const std::string& id) {
  if (id == "latest") {
    TRY_ASSIGN(const auto runs, history.runs("", 1));
    if (runs.empty()) return fail(ErrorCode::not_found, "no plan was run yet: 'casemate plan run PLAN' does");
    return runs.front();
  }
  TRY_ASSIGN(const auto run, history.run(id));
  if (!run)
    return fail(ErrorCode::not_found, fmt::format("there is no run '{}'; 'casemate plan list' shows those there are", printable_name(id)));
  return *run;
}

Result<PlanRunRow> as_far_as_it_came(const PlanHistory& history, PlanRunRow row) {
  if (row.state != "killed" && row.state != "running") return row;
  TRY_ASSIGN(const auto cases, history.cases(row.id));
  row.passed = row.failed = row.error = row.skipped = 0;
  row.took_us = 0;
  for (const PlanCaseRow& one : cases) {
    if (one.id == kRemainderId) continue;
    const PlanStatus status = plan_status(one.status).value_or(PlanStatus::not_run);
    row.passed += status == PlanStatus::passed ? 1 : 0;
    row.failed += status == PlanStatus::failed ? 1 : 0;
    row.error += status == PlanStatus::error ? 1 : 0;
    row.skipped += status == PlanStatus::skipped ? 1 : 0;
    row.took_us += std::max<std::int64_t>(one.took_us, 0);
  }
  return row;
}

std::size_t not_run(const PlanRunRow& row) {
  const std::size_t ran = row.passed + row.failed + row.error + row.skipped;
  return row.total - std::min(ran, row.total);
}

Result<SavedRun> load_run(const PlanHistory& history, const PlanRunRow& row) {
  SavedRun saved;
  TRY_ASSIGN(saved.row, as_far_as_it_came(history, row));
  TRY_ASSIGN(const std::string text, history.read(row.plan));
  TRY_ASSIGN(saved.document, parse_document(text, kPlanName, DocumentFormat::json));
  TRY_ASSIGN(saved.plan, read_plan(saved.document, kPlanName));
  saved.result = nothing_of(saved.plan);
  PlanResult& result = saved.result;
  result.run = row.id;
  result.started_ms = row.started_ms;
  result.took = std::chrono::microseconds(row.took_us);
  result.executor = row.executor;
  result.image = row.image;
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t at = 0; at < saved.plan.cases.size(); ++at) places.emplace(saved.plan.cases[at].id, at);
  TRY_ASSIGN(const auto rows, history.cases(row.id));
  for (const PlanCaseRow& one : rows) {
    if (one.id == kRemainderId) {
      TRY_ASSIGN(saved.remainder, remainder_of(one, history));
      continue;
    }
    const auto place = places.find(one.id);
    if (place == places.end()) continue;
    TRY_ASSIGN(result.cases[place->second], case_of(one, history));
    result.cases[place->second].steps.resize(saved.plan.cases[place->second].steps.size());
  }
  result.setup = saved.remainder.setup;
  result.teardown = saved.remainder.teardown;
  result.setup.resize(saved.plan.setup.size());
  result.teardown.resize(saved.plan.teardown.size());
  result.problem = saved.remainder.problem;
  result.image_digest = saved.remainder.image_digest;
  for (CaseResult& one : result.cases) {
    if (one.status == PlanStatus::not_run) one.reason = result.problem;
  }
  saved.plan.notes.insert(saved.plan.notes.end(), saved.remainder.notes.begin(), saved.remainder.notes.end());
  TRY_ASSIGN(saved.artifacts, history.artifacts(row.id));
  return saved;
}

}  // namespace casemate
