// worker: one task's pipeline, in a process of its own: clone, tests, environment, run, report. See docs/design/agent.md.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "apps/agent/grade.h"
#include "apps/agent/settings.h"
#include "apps/agent/task.h"
#include "casemate/result.h"

namespace casemate {

/// DIR/order.json: all that a worker is told. No secret is in it.
struct WorkOrder {
  Task task;
  std::chrono::milliseconds timeout{0};
  std::chrono::milliseconds proxy_timeout{0};
  std::string tests_repo;
  std::string tests_revision;
  std::vector<std::string> tests_command;
  std::string image;
  Limits limits;
  std::uint32_t slots = 1;
  bool isolate_tests = false;
  bool allow_file_urls = false;
  Network clone_network = Network::outbound;
};
[[nodiscard]] std::string order_json(const WorkOrder& order);
Result<WorkOrder> order_from_json(std::string_view text);

/// One step of the pipeline as steps.json has it.
struct StepReport {
  std::string name;  ///< "clone", "tests", "environment", "run", "report"
  std::chrono::microseconds took{0};
  bool cached = false;
  std::string problem;  ///< "" where it succeeded
};
[[nodiscard]] std::string steps_json(const std::vector<StepReport>& steps);
Result<std::vector<StepReport>> steps_from_json(std::string_view text);

inline constexpr const char* kOrderFile = "order.json";
inline constexpr const char* kGradeFile = "grade.json";  ///< there, and whole: the worker has done its work
inline constexpr const char* kStepsFile = "steps.json";
inline constexpr const char* kOutputFile = "output.txt";  ///< of the tests' command, both streams as they came, bounded
inline constexpr const char* kReportFile = "report.xml";
inline constexpr const char* kHtmlFile = "report.html";

/// What --once and tests see of a stopped task: the contract's text for form B.
inline constexpr const char* kStopText = "Stop signal received";

/// Main of `casemate-agent worker DIR`. 0: DIR/grade.json is there, whatever the grade. SIGINT or SIGTERM: interrupts the tests, waits up
/// to 10 s for their report, and ends as usual with an error of kStopText; a second one ends all at once (status 130).
int worker_main(const std::string& directory);

}  // namespace casemate
