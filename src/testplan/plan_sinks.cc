#include "testplan/plan_sinks.h"

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostText = 64 << 10;

Verdict verdict_of_case(PlanStatus status) {
  switch (status) {
    case PlanStatus::passed:
      return Verdict::passed;
    case PlanStatus::failed:
      return Verdict::failed;
    case PlanStatus::error:
      return Verdict::error;
    case PlanStatus::skipped:
      return Verdict::skipped;
    case PlanStatus::not_run:
      break;
  }
  return Verdict::cancelled;
}

// The end of what a command wrote: why it failed stands there.
std::string ending(const std::string& text) {
  if (text.size() <= kMostText) return to_utf8(text);
  return fmt::format("({} bytes before)\n{}", text.size() - kMostText, to_utf8(std::string_view(text).substr(text.size() - kMostText)));
}

void put_sections(const PlanStep& step, const StepResult& result, TestReport& report) {
  const std::string id = to_utf8(step.id);
  if (!result.out.empty()) report.sections.emplace_back("stdout of " + id, ending(result.out));
  if (!result.err.empty()) report.sections.emplace_back("stderr of " + id, ending(result.err));
}

TestReport report_of(const PlanCase& one, const CaseResult& result) {
  TestReport report{.when = "call", .outcome = "passed", .duration = result.took};
  const std::string reason = to_utf8(result.reason);
  if (result.status == PlanStatus::skipped) {
    report.when = "setup";
    report.outcome = "skipped";
    report.text = reason;
    return report;
  }
  const bool good = result.status == PlanStatus::passed;
  if (!good) {
    report.outcome = "failed";
    report.message = reason;
  }
  for (std::size_t at = 0; at < one.steps.size() && at < result.steps.size(); ++at) {
    const PlanStep& step = one.steps[at];
    const StepResult& ended = result.steps[at];
    put_sections(step, ended, report);
    if (good || ended.status == PlanStatus::passed || ended.reason.empty()) continue;
    if (!step.command.empty()) report.text += "$ " + to_utf8(step.command) + "\n";
    report.text += fmt::format("{}: {}\n", word(ended.status), to_utf8(ended.reason));
  }
  if (!good && report.text.empty()) report.text = reason + "\n";
  if (!result.difference.empty()) report.text += "\n" + to_utf8(result.difference);
  return report;
}

}  // namespace

TestResult test_result(const PlanReportRun& run, const PlanCase& one, const CaseResult& result) {
  TestResult told;
  const std::string name = to_utf8(one.id);
  told.test = {.id = to_utf8(run.file) + "::" + name, .file = to_utf8(run.file), .group = "", .name = name};
  for (const std::string& tag : one.tags) told.test.markers.push_back(to_utf8(tag));
  told.verdict = verdict_of_case(result.status);
  told.reason = result.status == PlanStatus::passed ? "" : to_utf8(result.reason);
  told.outcome = {Outcome::Kind::exited, 0, "", ""};
  told.duration = result.took;
  told.reports = {report_of(one, result)};
  if (one.name != one.id) told.properties.emplace_back("name", to_utf8(one.name));
  if (one.main && *one.main < result.steps.size()) {
    const StepResult& own = result.steps[*one.main];
    told.resources = own.resources;
    told.leftovers = own.services;
    if (own.outcome && own.outcome->kind != Outcome::Kind::exited) told.outcome = *own.outcome;
  }
  return told;
}

std::vector<std::string> tell_sinks(const PlanReportRun& run, const TestPlan& plan, const PlanResult& result,
                                    const std::vector<Sink*>& sinks) {
  RunStart start{.front_end = "plan", .name = to_utf8(plan.tool), .directory = run.directory, .arguments = run.arguments};
  start.began = std::chrono::system_clock::time_point(std::chrono::milliseconds(result.started_ms));
  start.slots = run.slots;
  RunEnd end{.took = result.took};
  std::vector<TestResult> tests;
  for (std::size_t at = 0; at < plan.cases.size(); ++at) {
    if (at >= result.cases.size() || result.cases[at].status == PlanStatus::not_run) {
      ++end.not_run;
      continue;
    }
    tests.push_back(test_result(run, plan.cases[at], result.cases[at]));
    ++end.counts[static_cast<std::size_t>(tests.back().verdict)];
  }
  end.problem = to_utf8(result.problem);
  end.exit_status = run.exit_status;
  std::vector<std::string> problems;
  for (Sink* sink : sinks) {
    sink->run_started(start);
    sink->collected({.selected = plan.cases.size()});
    for (const TestResult& test : tests) {
      sink->test_started({.test = &test.test});
      sink->test_finished(test);
    }
    for (const auto& [steps, ended] : {std::pair(&plan.setup, &result.setup), std::pair(&plan.teardown, &result.teardown)}) {
      for (std::size_t at = 0; at < steps->size() && at < ended->size(); ++at) {
        if (!(*ended)[at].reason.empty())
          sink->note(fmt::format("{}: {}", printable_name((*steps)[at].id), printable_name((*ended)[at].reason)));
      }
    }
    if (std::string problem = sink->run_finished(end); !problem.empty()) problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace casemate
