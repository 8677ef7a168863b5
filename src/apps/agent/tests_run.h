// tests_run: the tests' command in its cell: what it is, and what it came to.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/agent/grade.h"
#include "apps/agent/order.h"
#include "apps/agent/tests_environment.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

/// Where TestsPlaces lie in the cell.
inline constexpr const char* kProjectInCell = "/work/project";
inline constexpr const char* kTestsInCell = "/work/tests";
inline constexpr const char* kReportInCell = "/work/report";
/// What the tests' command may write beside its report.
inline constexpr std::uint64_t kMostReportBytes = 64ull << 20;

/// "10", "0.5": seconds without needless digits.
[[nodiscard]] std::string seconds_text(std::chrono::milliseconds duration);

/// The contract's command line: the order's command, whose first word "python" or "python3" becomes `python`, and what the task asks for.
[[nodiscard]] std::vector<std::string> tests_command(const WorkOrder& order, const std::string& python);

/// Directories of the host that the tests' cell shows. What the tests write into `project` is thrown away; `tests` can't be written to;
/// `report` is theirs to fill.
struct TestsPlaces {
  std::string project;
  std::string tests;
  std::string report;
};

/// The cell of a task's tests: no network, the order's limits.
Result<Job> tests_job(const WorkOrder& order, const TestsEnvironment& environment, const TestsPlaces& places);

/// How the run was ended from outside.
enum class CutShort { no, timed_out, stopped };

/// What a run left.
struct TestsEnd {
  JobResult result;
  CutShort cut_short = CutShort::no;
  std::optional<std::string> report;       ///< the bytes of report.xml
  std::map<std::string, CaseFacts> cases;  ///< by case_key(); of tests in cells of their own, else empty
  std::string report_problem;              ///< why they can't be had; "" where there is none, or it was read
};

/// A file of a directory that hostile code has filled: regular, no link followed, at most `most` bytes. not_found: there is none.
Result<std::string> read_left(const std::string& directory, const char* name, std::size_t most);

/// Reads the report out of its directory, which hostile code has filled: one regular file, no link followed, bounded.
void read_report(const std::string& directory, TestsEnd& end);

/// Whether an errno says that this machine has no more descriptors, processes, memory, namespaces or room: over some time, and nobody's
/// doing.
[[nodiscard]] bool is_for_want(int error);

/// The grade of a run. An exit status counts where the command ended by itself; a run that was cut short is an error, with the cases that
/// did finish; one without a report an error that says how the command ended and what it said last. Where no cell could be made for
/// it, or its program is not there, the grade has the fault that this is.
[[nodiscard]] Grade grade_run(const WorkOrder& order, const TestsEnd& end);

}  // namespace casemate
