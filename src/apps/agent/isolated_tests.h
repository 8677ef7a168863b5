// isolated_tests: a task's tests in cells of their own, forks of warm parents. Which tests, and with what options, only the tests' command
// knows, and that is a program: so it is run first, with a pytest that says what it was called with and does no more.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "apps/agent/order.h"
#include "apps/agent/tests_environment.h"
#include "apps/agent/tests_run.h"
#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// How the tests' command calls pytest. Out of a cell: hostile, and only ever used in one.
struct PytestCall {
  std::vector<std::string> arguments;  ///< without those that name a report
  std::string directory;               ///< of the cell, absolute
  std::map<std::string, std::string> environment;
};

/// The tests' command, told of an empty project, in a cell of its own. `scratch`: an empty directory of the host, which outlives the job.
/// No code of the student's is seen there, so none can say which tests are run.
Result<Job> asking_job(const WorkOrder& order, const TestsEnvironment& environment, const std::string& tests, const std::string& scratch);

/// What that job has left. not_supported: it called pytest never, more than once, or as can't be done in cells of their own; `what` says
/// which.
Result<PytestCall> read_call(const std::string& scratch);
/// The same of the bytes it left.
Result<PytestCall> call_from_json(const std::string& text);

/// Runs the tests, `order.slots` at a time, each with its own copies of project and tests, in an engine of this call's own. SIGINT and
/// SIGTERM, which must be blocked, and the end of `timeout` (0: none) end it: a signal is pending again afterwards, and where a second
/// one came two are. The report is
/// places.report/report.xml; `scratch` is another directory, empty. not_supported: no test began, for a reason that a run in one cell may
/// not have. system: a test's cell could not be made.
Result<TestsEnd> run_isolated(const WorkOrder& order, const TestsEnvironment& environment, const TestsPlaces& places,
                              const PytestCall& call, const std::string& scratch, std::chrono::milliseconds timeout);

}  // namespace casemate
