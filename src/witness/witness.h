// witness: casemate-witness, casemate's own program in a container, as its first process and around each command. The Engine API tells an
// exit status and no more: a signal from an exit status of 128 + n, a program that can't be executed, what the limits refused, and who was
// left behind are told by the witness, in lines of its own at the end of the command's stderr.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/outcome.h"

namespace casemate {

/// Most that is believed of a time in microseconds (285 years) or of a number of faults: sums of them, nanoseconds and doubles hold it.
inline constexpr std::uint64_t kMostTold = 1ull << 53;

/// What a witness said. It lives in the container: what it says of a job is believed as much as the job's own exit status.
struct WitnessReport {
  /// The session (setsid(2)) of the command's processes, a pid of the container; negative: its leader is the witness, not one of them.
  std::optional<std::int32_t> started;
  std::optional<int> exit_status;
  std::optional<int> signal;
  std::optional<int> exec_errno;  ///< the command could not be executed
  std::uint64_t wall_us = 0;      ///< from exec to the end of the main process
  std::uint64_t user_cpu_us = 0, system_cpu_us = 0;
  std::optional<std::uint64_t> peak_memory_bytes, peak_pids;
  std::uint64_t major_faults = 0, minor_faults = 0;
  std::uint64_t oom_kills = 0;     ///< while it ran
  std::uint64_t pids_refused = 0;  ///< the same: fork(2) that the limit refused
  bool disk_full = false;          ///< a writable file system of the container has no room left
  std::vector<Leftover> leftovers;
  bool ended = false;  ///< the last word was heard

  /// What `line`, without its end, says. Words that are not known are passed over.
  void hear(std::string_view line);
};

/// What a job used, as its witness says.
[[nodiscard]] Resources resources_of(const WitnessReport& report);

/// What a job has written to its report (Job::report), of at most one line.
struct ReportedPiece {
  std::string_view bytes;  ///< of the line given to reported_piece()
  bool ends_line = false;  ///< a newline follows
};
/// nullopt: the witness's line is none of a report, but facts.
[[nodiscard]] std::optional<ReportedPiece> reported_piece(std::string_view line);

/// Takes the witness's lines out of a stream of output.
class WitnessReader {
 public:
  /// `take` gets the output, `said` the lines.
  WitnessReader(const std::string& token, std::function<void(std::string_view)> take, std::function<void(std::string_view)> said);
  void feed(std::string_view bytes);
  /// The stream has ended: hands on what could have been the beginning of a line.
  void end();

 private:
  std::string mark_;
  std::function<void(std::string_view)> take_;
  std::function<void(std::string_view)> said_;
  std::string held_;  // a beginning of mark_, or with `in_line_` of a line
  bool in_line_ = false;
};

/// An environment as `told` reads it: "NAME=value" and a zero byte for each, and another zero byte.
[[nodiscard]] std::string environment_text(const std::map<std::string, std::string>& environment);

/// The program: the words after its name are
/// `job TOKEN PROFILE[,VARIABLE...] COMMAND...` (the variables are taken away; as pid 1: runs it, reaps, passes signals on, kills what is
/// left, reports), `report TOKEN PROFILE[,VARIABLE...] COMMAND...` (the same; what the command writes to descriptor 3 goes among the
/// lines), `told TOKEN PROFILE COMMAND...` (as job; the command's environment is what comes on stdin, as environment_text() has it, and its
/// stdin is empty), `hold TOKEN` (as pid 1: reaps until its stdin ends), `command TOKEN PROFILE COMMAND...` (by exec, where another holds;
/// what is left stays), `signal NUMBER SESSION` (to all processes of a session, as WitnessReport::started has it), `action FILE`
/// (witness/action.h), `look` (as an action's job: prints WorkerFacts). Gives the exit status.
int witness_main(const std::vector<std::string>& words);

}  // namespace casemate
