#include "apps/script/report.h"

#include <algorithm>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

#include "base/units.h"

namespace casemate {
namespace {

std::string seconds(std::chrono::milliseconds duration) {
  if (duration.count() % 1000 == 0 && duration < std::chrono::minutes(1)) return fmt::format("{} s", duration.count() / 1000);
  return format_duration(duration);
}

std::string limit_of(const std::optional<std::uint64_t>& bytes) { return bytes ? fmt::format(" (limit {})", format_bytes(*bytes)) : ""; }

// What the script's end means, as a sentence. `exited 0` has none.
std::string sentence(const Outcome& outcome, const Limits& limits) {
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      return "The user script failed with a non-zero exit code.";
    case Outcome::Kind::signaled: {
      const char* name = sigabbrev_np(outcome.code);
      return fmt::format("The user script was ended by signal {}{}.", outcome.code, name ? fmt::format(" (SIG{})", name) : "");
    }
    case Outcome::Kind::timed_out:
      return limits.wall ? fmt::format("The user script timed out after {}.", seconds(*limits.wall)) : "The user script timed out.";
    case Outcome::Kind::out_of_memory:
      return fmt::format("The user script ran out of memory{}.", limit_of(limits.memory_bytes));
    case Outcome::Kind::too_many_processes:
      return fmt::format("The user script started too many processes{}.", limits.pids ? fmt::format(" (limit {})", *limits.pids) : "");
    case Outcome::Kind::output_limit:
      return fmt::format("The user script wrote too much output{}.", limit_of(limits.output_bytes));
    case Outcome::Kind::disk_limit:
      return fmt::format("The user script filled its disk{}.", limit_of(limits.disk_bytes));
    case Outcome::Kind::setup_failed:
      return fmt::format("The cell for the script could not be made: {}. `casemate doctor` says what this host lacks.", words(outcome));
    case Outcome::Kind::cancelled:
      return "The run was cancelled before the script ended.";
    case Outcome::Kind::lost:
      return fmt::format("Nobody knows how the script ended: {}.", words(outcome));
  }
  return "The user script failed.";
}

bool of_the_script(Outcome::Kind kind) {
  return kind != Outcome::Kind::setup_failed && kind != Outcome::Kind::cancelled && kind != Outcome::Kind::lost;
}

// Files that should be in the results directory and aren't make a success untrue.
std::string incomplete(const JobResult& result) {
  if (!result.collect_error.empty())
    return fmt::format("The script succeeded, but not all of its files could be saved: {}", result.collect_error);
  if (result.changes_truncated)
    return fmt::format("The script succeeded, but it made more files than are captured ({}).", result.changes.size());
  return "";
}

}  // namespace

std::string_view word(ScriptErrorType type) {
  switch (type) {
    case ScriptErrorType::none:
      return "";
    case ScriptErrorType::file_not_found:
      return "file_not_found";
    case ScriptErrorType::environment_setup_failed:
      return "environment_setup_failed";
    case ScriptErrorType::script_execution_failed:
      return "script_execution_failed";
    case ScriptErrorType::docker_daemon_error:
      return "docker_daemon_error";
    case ScriptErrorType::runner_internal_error:
      break;
  }
  return "runner_internal_error";
}

std::string_view word(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_input:
      return "invalid_input";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::not_supported:
      return "not_supported";
    case ErrorCode::refused:
      return "refused";
    case ErrorCode::exhausted:
      return "exhausted";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::system:
      return "system";
    case ErrorCode::internal:
      break;
  }
  return "internal";
}

std::vector<std::string> captured_files(const JobResult& result) {
  std::vector<std::string> paths;
  for (const Change& change : result.changes) {
    const bool kept = change.type == Change::Type::file || change.type == Change::Type::symlink;
    if (kept && change.kind != Change::Kind::deleted) paths.push_back(change.path);
  }
  std::ranges::sort(paths);
  return paths;
}

std::optional<int> exit_code(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      return outcome.code;
    case Outcome::Kind::signaled:
      return 128 + outcome.code;
    case Outcome::Kind::timed_out:
      return 124;
    case Outcome::Kind::out_of_memory:
    case Outcome::Kind::too_many_processes:
    case Outcome::Kind::output_limit:
    case Outcome::Kind::disk_limit:
    case Outcome::Kind::cancelled:
      return 128 + SIGKILL;
    case Outcome::Kind::setup_failed:
    case Outcome::Kind::lost:
      break;
  }
  return std::nullopt;
}

void conclude(ScriptReport& report, JobResult result, const Limits& limits) {
  report.exit_status = 1;
  if (!result.outcome.succeeded()) {
    report.error_type =
        of_the_script(result.outcome.kind) ? ScriptErrorType::script_execution_failed : ScriptErrorType::runner_internal_error;
    report.message = sentence(result.outcome, limits);
  } else if (std::string problem = incomplete(result); !problem.empty()) {
    report.error_type = ScriptErrorType::runner_internal_error;
    report.message = std::move(problem);
  } else {
    report.message = fmt::format("Script executed successfully. Captured {} output file(s).", captured_files(result).size());
    report.exit_status = 0;
  }
  report.result = std::move(result);
}

ScriptReport failure(ScriptErrorType type, const Error& error) {
  ScriptReport report;
  report.error_type = type;
  report.message = error.what;
  report.reason = word(error.code);
  report.exit_status = 1;
  return report;
}

}  // namespace casemate
