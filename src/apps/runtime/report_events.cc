#include "apps/runtime/report_events.h"

#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/terminal.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/report_file.h"

namespace casemate {
namespace {

using runtime::DataCompatibilityResult;
using runtime::ScriptTestResult;

std::chrono::microseconds from_seconds(double seconds) { return std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)); }

TestResult begin_test(const std::string& file, const std::string& name) {
  TestResult test;
  test.test.id = file + "::" + name;
  test.test.file = file;
  test.test.name = name;
  test.container = "host";
  test.outcome = {Outcome::Kind::exited, 0};
  return test;
}

TestReport report_of(std::string_view outcome, std::string message, std::string text) {
  TestReport report;
  report.when = "call";
  report.outcome = outcome;
  report.message = std::move(message);
  report.text = text.empty() ? report.message : std::move(text);
  return report;
}

TestResult script_test(const std::string& name, const ScriptTestResult& result) {
  TestResult test = begin_test("scripts", name);
  const std::string reason = result.error_message.value_or("");
  test.verdict = result.success ? Verdict::passed : result.skipped ? Verdict::skipped : Verdict::failed;
  test.reason = result.skipped.value_or(reason);
  test.outcome = result.outcome;
  test.duration = from_seconds(result.execution_time);
  test.resources.wall = test.duration;
  test.resources.peak_memory_bytes = result.peak_memory_bytes;
  test.notes = result.notes;
  TestReport report = report_of(result.success ? "passed" : result.skipped ? "skipped" : "failed", test.reason, result.traceback);
  report.duration = test.duration;
  if (!result.standard_output.empty()) report.sections.emplace_back("Captured stdout call", result.standard_output);
  if (!result.standard_error.empty()) report.sections.emplace_back("Captured stderr call", result.standard_error);
  test.reports.push_back(std::move(report));
  return test;
}

TestResult flow_test(const std::string& name, const DataCompatibilityResult& result) {
  TestResult test = begin_test("data_flows", name);
  test.verdict = result.compatible ? Verdict::passed : Verdict::failed;
  if (!result.compatibility_issues.empty()) test.reason = result.compatibility_issues.front();
  test.reports.push_back(
      report_of(result.compatible ? "passed" : "failed", test.reason, fmt::format("{}", fmt::join(result.compatibility_issues, "\n"))));
  return test;
}

RunEnd end_of(const std::vector<TestResult>& tests, std::chrono::system_clock::time_point began, int exit_status) {
  RunEnd end;
  end.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now() - began);
  for (const TestResult& test : tests) ++end.counts[static_cast<std::size_t>(test.verdict)];
  end.exit_status = exit_status;
  return end;
}

}  // namespace

std::vector<TestResult> tests_of(const ScriptTestResult& result) {
  return {script_test(result.step_name.empty() ? result.script_name : result.step_name, result)};
}

std::vector<TestResult> tests_of(const DataCompatibilityResult& result) {
  std::vector<TestResult> tests;
  for (const auto* one : {&result.result_a, &result.result_b}) {
    if (*one) tests.push_back(script_test((*one)->script_name, **one));
  }
  tests.push_back(flow_test(result.script_a + "->" + result.script_b, result));
  return tests;
}

std::vector<TestResult> tests_of(const runtime::PipelineResult& result) {
  std::vector<TestResult> tests;
  for (const auto& [step, one] : result.script_results) tests.push_back(script_test(step, one));
  for (const auto& [flow, one] : result.data_flow_results) tests.push_back(flow_test(flow, one));
  return tests;
}

Result<void> check_reports(const RuntimeRequest& request) {
  for (const auto& [option, path] : {std::pair("--junit-xml", &request.junit_xml), {"--html", &request.html}}) {
    if (path->empty()) continue;
    std::error_code problem;
    if (path->ends_with('/') || std::filesystem::is_directory(*path, problem))
      return fail(ErrorCode::invalid_input, fmt::format("{}: {} is a directory: name a file", option, printable_name(*path)));
    if (auto begun = ReportFile::begin(*path); !begun) return fail(begun.error().code, fmt::format("{}: {}", option, begun.error().what));
  }
  std::error_code problem;
  if (request.junit_xml.empty() || request.html.empty()) return {};
  const auto first = std::filesystem::weakly_canonical(request.junit_xml, problem);
  const auto second = std::filesystem::weakly_canonical(request.html, problem);
  const bool is_special = std::filesystem::exists(first, problem) && !std::filesystem::is_regular_file(first, problem);
  if (first != second || is_special) return {};
  return fail(ErrorCode::invalid_input, fmt::format("--junit-xml and --html are the same file: {}", printable_name(request.html)));
}

Result<void> write_reports(const RuntimeRequest& request, const std::vector<std::string>& arguments, const std::vector<TestResult>& tests,
                           std::chrono::system_clock::time_point began, int exit_status) {
  std::vector<std::unique_ptr<Sink>> sinks;
  if (!request.junit_xml.empty()) sinks.push_back(std::make_unique<JunitReport>(request.junit_xml));
  if (!request.html.empty()) {
    HtmlOptions html;
    html.path = request.html;
    sinks.push_back(std::make_unique<HtmlReport>(std::move(html)));
  }
  std::error_code problem;
  RunStart start;
  start.front_end = "runtime";
  start.directory = std::filesystem::current_path(problem).string();
  start.name = std::filesystem::path(start.directory).filename().string();
  start.arguments = arguments;
  start.began = began;
  Collected collected;
  collected.selected = tests.size();
  for (const auto& sink : sinks) {
    sink->run_started(start);
    sink->collected(collected);
    for (const TestResult& test : tests) sink->test_finished(test);
    const std::string trouble = sink->run_finished(end_of(tests, began, exit_status));
    if (!trouble.empty()) return fail(ErrorCode::system, trouble);
  }
  return {};
}

}  // namespace casemate
