// report_events: results of scripts as events of a run, for the sinks that every front end has: JUnit, HTML.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "apps/runtime/request.h"
#include "casemate/result.h"
#include "engine/events.h"
#include "runtime/models.h"

namespace casemate {

/// What a command came to, as tests: a script each, and a flow of data each.
[[nodiscard]] std::vector<TestResult> tests_of(const runtime::ScriptTestResult& result);
[[nodiscard]] std::vector<TestResult> tests_of(const runtime::DataCompatibilityResult& result);
[[nodiscard]] std::vector<TestResult> tests_of(const runtime::PipelineResult& result);

/// Whether they can be written, before anything runs: invalid_input or system, and a line that names the option. A directory of a report's
/// that is missing is made.
Result<void> check_reports(const RuntimeRequest& request);
/// Writes the reports that were asked for. An Error names the file.
Result<void> write_reports(const RuntimeRequest& request, const std::vector<std::string>& arguments, const std::vector<TestResult>& tests,
                           std::chrono::system_clock::time_point began, int exit_status);

}  // namespace casemate
