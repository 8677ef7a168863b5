// worker: one task's pipeline, in a process of its own: clone, tests, environment, run, report. See docs/design/agent.md.
#pragma once

#include <string>

#include "apps/agent/order.h"

namespace casemate {

/// Files of a task's directory.
inline constexpr const char* kOrderFile = "order.json";
inline constexpr const char* kGradeFile = "grade.json";  ///< there, and whole: the worker has done its work
inline constexpr const char* kStepsFile = "steps.json";
inline constexpr const char* kOutputFile = "output.txt";  ///< of the tests' command, both streams as they came, bounded
inline constexpr const char* kReportFile = "report.xml";
inline constexpr const char* kHtmlFile = "report.html";
inline constexpr const char* kReadyFile = "ready";  ///< repositories and environment are there; see WorkOrder::tells_ready

/// What --once and tests see of a stopped task: the contract's text for form B.
inline constexpr const char* kStopText = "Stop signal received";
/// How the contract's text for tests that had no more time begins; seconds follow.
inline constexpr const char* kTimeoutText = "Timeout, tests run ran more than:";

/// Main of `casemate-agent worker DIR`. 0: DIR/grade.json is there, whatever the grade. SIGINT or SIGTERM: interrupts the tests, waits up
/// to 10 s for their report, and ends as usual with an error of kStopText; a second one ends all at once (status 130).
int worker_main(const std::string& directory);

}  // namespace casemate
