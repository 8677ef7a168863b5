// plan_sinks: what came of a plan, told to the sinks of a run of tests: JUnit, HTML and the others of src/report.
#pragma once

#include <string>
#include <vector>

#include "engine/events.h"
#include "testplan/models.h"

namespace casemate {

/// What the sinks are told of the run besides its results.
struct PlanReportRun {
  std::string file;       ///< the plan's, as it was named: what tests lie in
  std::string directory;  ///< absolute
  std::vector<std::string> arguments;
  std::uint32_t slots = 1;
  int exit_status = 0;
};

/// A case as a test: "FILE::CASE-ID". Failed steps are told with it, each by its command, its reason and its output.
[[nodiscard]] TestResult test_result(const PlanReportRun& run, const PlanCase& one, const CaseResult& result);
/// Tells all of a finished run. Cases that were not run are counted alone; a failed set-up or tear-down of the plan is a note. The problems
/// of sinks that could not write, one line each.
std::vector<std::string> tell_sinks(const PlanReportRun& run, const TestPlan& plan, const PlanResult& result,
                                    const std::vector<Sink*>& sinks);

}  // namespace casemate
