// report: how one run of a script ended, and the JSON object that says so (py_test_runner's structure with our additions).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/script/arguments.h"
#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

/// py_test_runner's closed set. `none` is success.
enum class ScriptErrorType {
  none,
  file_not_found,
  environment_setup_failed,
  script_execution_failed,
  docker_daemon_error,
  runner_internal_error
};
/// "file_not_found", ...; "" for none.
[[nodiscard]] std::string_view word(ScriptErrorType type);

/// What the script's packages came from.
struct EnvironmentSummary {
  std::string python;  ///< "3.11.7"
  std::string key;
  bool cached = false;
  std::string installer;
};

/// The image that the script ran on.
struct ImageSummary {
  std::string name;
  std::string digest;  ///< "": it has none
};

/// All that is said about one finished `casemate script`, for people and as JSON.
struct ScriptReport {
  ScriptErrorType error_type = ScriptErrorType::none;
  std::string message;  ///< one sentence; may hold bytes of hostile names, made printable
  std::string reason;   ///< errors of ours: word(ErrorCode), or "usage", "interrupted"; "" else
  std::string installer_log;
  int exit_status = 0;                ///< of this program: 0 only on success
  std::string results;                ///< absolute path of the results directory; "" if it was not touched
  std::optional<ImageSummary> image;  ///< unset: host
  std::optional<EnvironmentSummary> environment;
  std::optional<JobResult> result;  ///< set once the script ran
  bool deterministic = false;       ///< --cache: whether it is of another time is told
  bool cached = false;              ///< `result` is of another time: nothing has changed since
  std::vector<std::string> notes;
  std::vector<std::pair<std::string_view, std::chrono::microseconds>> timings;  ///< in the order of the phases
};

/// Takes a finished job into the report: error type, message and exit status follow from it.
void conclude(ScriptReport& report, JobResult result, const Limits& limits);

/// A report of a failure of ours. not_found is for the caller to class as file_not_found: `type` says.
[[nodiscard]] ScriptReport failure(ScriptErrorType type, const Error& error);

/// The paths for `captured_files`: regular files and symlinks made or modified, sorted; raw bytes.
[[nodiscard]] std::vector<std::string> captured_files(const JobResult& result);

/// What `details.exit_code` says: the exit status, 128 + signal, 124 for a timeout, 137 for what was killed for another limit; nullopt if
/// the script never ran.
[[nodiscard]] std::optional<int> exit_code(const Outcome& outcome);

/// "refused", "exhausted", ...
[[nodiscard]] std::string_view word(ErrorCode code);

/// The object, two blanks of indent, pure ASCII (so it is safe for terminals), one newline at the end. Valid whatever bytes the script
/// wrote: what is not UTF-8 becomes U+FFFD, and a name that is not UTF-8 is told byte by byte as "path_bytes" (hexadecimal) beside its
/// "path".
[[nodiscard]] std::string to_json(const ScriptReport& report);

}  // namespace casemate
