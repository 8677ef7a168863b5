#include "apps/agent/task_page.h"

#include <algorithm>

#include <fmt/format.h>

#include "apps/agent/git_cell.h"
#include "base/terminal.h"
#include "base/units.h"
#include "image/requirements.h"
#include "report/html.h"

namespace casemate {
namespace {

constexpr std::size_t kOutputLines = 60;
constexpr std::size_t kLongestLine = 400;

Verdict verdict_of_case(CaseGrade::Verdict verdict) {
  if (verdict == CaseGrade::Verdict::passed) return Verdict::passed;
  return verdict == CaseGrade::Verdict::skipped ? Verdict::skipped : Verdict::failed;
}

TestResult row(const CaseGrade& one) {
  TestResult result;
  result.test.id = to_utf8(one.name);
  const auto colons = one.name.find("::");
  result.test.file = to_utf8(one.name.substr(0, colons));
  result.test.name = colons == std::string::npos ? result.test.id : to_utf8(one.name.substr(colons + 2));
  result.verdict = verdict_of_case(one.verdict);
  result.outcome = {.kind = Outcome::Kind::exited};
  result.resources.peak_memory_bytes = one.memory_kib * 1024;
  result.cell_is_its_own = false;
  result.duration = one.duration;
  TestReport report;
  report.when = "call";
  report.outcome = word(result.verdict);
  report.duration = one.duration;
  report.text = to_utf8(one.description);
  const auto end_of_line = report.text.find('\n');
  if (result.verdict != Verdict::passed) result.reason = report.text.substr(0, end_of_line);
  result.reports.push_back(std::move(report));
  return result;
}

std::string step_line(const StepReport& step) {
  std::string line = fmt::format("{}: {}{}", step.name, format_duration(step.took), step.cached ? ", from the cache" : "");
  if (!step.problem.empty()) line += ": " + step.problem;
  return line;
}

// The page has a line for each note.
void tell_output(HtmlReport& page, std::string_view output) {
  std::vector<std::string_view> lines;
  while (!output.empty() && lines.size() < kOutputLines) {
    const auto before = output.rfind('\n');
    lines.push_back(before == std::string_view::npos ? output : output.substr(before + 1));
    output = output.substr(0, before == std::string_view::npos ? 0 : before);
  }
  if (!output.empty()) page.note("the end of the tests' output:");
  std::reverse(lines.begin(), lines.end());
  for (const std::string_view line : lines) {
    if (!line.empty()) page.note("| " + to_utf8(line.substr(0, kLongestLine)));
  }
}

}  // namespace

Result<void> write_task_page(const std::string& path, const WorkOrder& order, const Grade& grade, const std::vector<StepReport>& steps,
                             std::string_view output, std::chrono::system_clock::time_point began) {
  HtmlReport page(HtmlOptions{.path = path, .past = {}});
  RunStart start;
  start.front_end = "agent";
  start.name = fmt::format("{}: {} {}", order.task.key(), repository_name(order.task.repository_url), printable_name(order.task.branch));
  start.directory = printable_name(redacted(order.task.repository_url));
  start.arguments = order.tests_command;
  start.began = began;
  page.run_started(start);
  Collected collected;
  collected.selected = grade.cases.size();
  page.collected(collected);
  RunEnd end;
  for (const CaseGrade& one : grade.cases) {
    page.test_finished(row(one));
    ++end.counts[static_cast<std::size_t>(verdict_of_case(one.verdict))];
  }
  for (const StepReport& step : steps) {
    end.took += step.took;
    page.note(step_line(step));
    for (const std::string& note : step.notes) page.note(fmt::format("{}: {}", step.name, note));
  }
  tell_output(page, output);
  if (grade.is_error) end.problem = grade.error_details;
  end.exit_status = grade.is_error ? 3 : grade.any_unexpected ? 1 : 0;
  if (std::string problem = page.run_finished(end); !problem.empty()) return fail(ErrorCode::system, std::move(problem));
  return {};
}

}  // namespace casemate
