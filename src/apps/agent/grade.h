// grade: what came of a task, and its two wire forms.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/agent/task.h"
#include "casemate/result.h"
#include "report/junit_reader.h"

namespace casemate {

/// One case, as both forms need it.
struct CaseGrade {
  std::string name;  ///< "lab1.test_build::test_x[a]"
  enum class Verdict { passed, failed, skipped } verdict = Verdict::failed;
  std::string description;    ///< of what failed, or why it was skipped
  std::string duration_text;  ///< seconds, as the report has them
  std::chrono::microseconds duration{0};
  std::uint64_t memory_kib = 0;
};

/// Why a task has no result yet, though no student is to blame for that.
enum class Fault {
  none,       ///< it has one: what is wrong is in the grade
  no_tests,   ///< there is no such tests repository or revision, or it is not for us
  tests,      ///< the tests, their environment or its image can't be had now
  host,       ///< this machine lacks what any task needs: room, descriptors, processes, cells
  worker,     ///< what ran it broke, and nobody knows whether another task would fare better
  unreached,  ///< the server of the student's repository is away or overloaded; or there is no such server
};
/// "none", "no tests", "tests", "host", "worker", "unreached".
[[nodiscard]] std::string_view word(Fault fault);

/// The result of a task.
struct Grade {
  Fault fault = Fault::none;  ///< not `none`: there is no result; error_details says what is wrong
  bool is_error = false;      ///< the tests could not be run to their end
  std::string error_details;  ///< one paragraph for the student or the teacher
  std::string commit;         ///< of the student's repository that was graded, its whole hash; "" where none was had. Not posted
  std::string duration_text = "0";
  std::chrono::microseconds duration{0};
  std::vector<CaseGrade> cases;
  bool any_unexpected = false;  ///< a case failed or had an error
  bool any_skipped = false;
};

/// "passed", "failed", "skipped".
[[nodiscard]] std::string_view word(CaseGrade::Verdict verdict);
/// "error", "failed", "passed": the whole result in a word.
[[nodiscard]] std::string_view result_word(const Grade& grade);
/// Cases that came out so.
[[nodiscard]] std::size_t count_of(const Grade& grade, CaseGrade::Verdict verdict);
/// "3 passed, 1 failed, 1 skipped"; none failed or skipped is left out.
[[nodiscard]] std::string counts_of(const Grade& grade);

/// Of a case that had a cell of its own.
struct CaseFacts {
  std::size_t place = 0;  ///< in pytest's order; the same for those that shared a cell
  std::uint64_t memory_kib = 0;
};
/// What such a case is known by: classname and name, as the report has them.
[[nodiscard]] std::string case_key(std::string_view class_name, std::string_view name);

/// What the tests' command did, beside its report.
struct RunFacts {
  int exit_status = 0;                       ///< of pytest; only read where the outcome is `exited`
  std::string said;                          ///< where it refused its command line: its own line of why, printable; or ""
  std::uint64_t peak_memory_kib = 0;         ///< of the cell
  std::map<std::string, CaseFacts> cases;    ///< by case_key(): what is known of one alone
  std::vector<std::string> connected_tests;  ///< asked for: those that match no case make an error
};

/// Maps a report. Where the exit status and the report disagree, or nothing ran that was asked for, the grade is an error.
[[nodiscard]] Grade grade_of(const JUnitDocument& report, const RunFacts& facts);
/// An error with nothing else.
[[nodiscard]] Grade grade_of_error(std::string details, Fault fault = Fault::none);

/// The body to post, in `form`: texts without NUL and valid UTF-8, error_details of at most 255 characters.
[[nodiscard]] std::string result_body(const Grade& grade, const Task& task, WireForm form, bool strict_skips);

/// As a worker leaves it, and back.
[[nodiscard]] std::string grade_json(const Grade& grade);
Result<Grade> grade_from_json(std::string_view text);

}  // namespace casemate
