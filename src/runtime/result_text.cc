// What people read of results: the declarations are in tester.h.
#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/test_words.h"
#include "runtime/spec_fields.h"
#include "runtime/tester.h"

namespace casemate::runtime {
namespace {

std::string status(bool good, std::string_view word, bool colors) {
  return fmt::format("{} {}", good ? "\u2705" : "\u274c", painted(word, good ? "32" : "31", colors));
}

// A message of a script's: all of it, but never a way to write over what is above it on a screen. Further lines are set in.
std::string message(std::string_view text, std::string_view indent) {
  std::string lines = printable(text);
  while (lines.ends_with('\n')) lines.pop_back();
  std::string set_in;
  for (const char c : lines) {
    set_in += c;
    if (c == '\n') set_in += indent;
  }
  return set_in;
}

std::string list(std::string_view heading, const std::vector<std::string>& lines) {
  if (lines.empty()) return fmt::format("{}: None", heading);
  std::string text = fmt::format("{}:", heading);
  for (const std::string& line : lines) text += "\n  - " + message(line, "    ");
  return text;
}

std::string format_text(const std::optional<std::string>& format) { return format && !format->empty() ? named(*format) : "Unknown"; }

}  // namespace

std::string script_text(const ScriptTestResult& result, bool colors) {
  std::string text = fmt::format(
      "Script Test Results:\n"
      "==================\n"
      "Script: {}\n"
      "Status: {}\n"
      "Execution Time: {:.3f}s\n"
      "Has Main Function: {}",
      named(result.script_name), status(result.success, result.success ? "PASS" : "FAIL", colors), result.execution_time,
      result.has_main_function ? "Yes" : "No");
  if (result.error_message) text += "\nError: " + message(*result.error_message, "  ");
  return text;
}

std::string compatibility_text(const DataCompatibilityResult& result, bool colors) {
  return fmt::format(
      "Data Compatibility Test Results:\n"
      "Script A: {}\n"
      "Script B: {}\n"
      "Status: {}\n"
      "Data Format A: {}\n"
      "Data Format B: {}\n"
      "{}",
      named(result.script_a), named(result.script_b), status(result.compatible, result.compatible ? "COMPATIBLE" : "INCOMPATIBLE", colors),
      format_text(result.data_format_a), format_text(result.data_format_b), list("Issues", result.compatibility_issues));
}

std::string pipeline_text(const PipelineResult& result, bool colors) {
  const auto scripts = std::ranges::count_if(result.script_results, [](const auto& one) { return one.second.success; });
  const auto flows = std::ranges::count_if(result.data_flow_results, [](const auto& one) { return one.second.compatible; });
  return fmt::format(
      "Pipeline Flow Test Results:\n"
      "Pipeline Status: {}\n"
      "Total Scripts: {}\n"
      "Successful Scripts: {}/{}\n"
      "Total Data Flows: {}\n"
      "Successful Data Flows: {}/{}\n"
      "{}",
      status(result.pipeline_success, result.pipeline_success ? "PASS" : "FAIL", colors), result.script_results.size(), scripts,
      result.script_results.size(), result.data_flow_results.size(), flows, result.data_flow_results.size(), list("Errors", result.errors));
}

std::string explanation(const DataCompatibilityResult& result) {
  std::string text = fmt::format("{} -> {}", named(result.script_a), named(result.script_b));
  static const DataReport missing{.format = "MISSING"};
  const std::size_t pairs = std::max(result.data_a.size(), result.data_b.size());
  if (pairs == 0) return text + "\n\nNo data was looked at.";
  for (std::size_t at = 0; at < pairs; ++at) {
    const DataReport& given = at < result.data_a.size() ? result.data_a[at] : missing;
    const DataReport& wanted = at < result.data_b.size() ? result.data_b[at] : missing;
    const std::string left = given.name.empty() ? "nothing" : named(given.name);
    const std::string right = wanted.name.empty() ? "nothing" : named(wanted.name);
    text += fmt::format("\n\ngiven: {}, wanted: {}\n{}", left, right, side_by_side(given, wanted));
    text += list("Differences", differences(given, wanted));
  }
  return text;
}

}  // namespace casemate::runtime
