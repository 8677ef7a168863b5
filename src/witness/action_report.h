// action_report: what the witness of an action says of its job, as bytes of a file: an output of the action.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/outcome.h"
#include "casemate/result.h"
#include "witness/witness.h"

namespace casemate {

/// What of a job's limits its witness ended it for.
enum class EndedFor : std::uint8_t { nothing, wall, cpu_time, memory, pids, output, disk, files };

/// One path below a collected place that is not as it was before the job.
struct ChangedPath {
  enum class Kind : std::uint8_t { file, directory, symlink, fifo, socket, device, deleted };
  Kind kind = Kind::file;
  std::uint32_t place = 0;  ///< index into WitnessOrder::collect
  std::string path;         ///< relative to it
  std::uint32_t mode = 0;   ///< permission bits
  bool same_mode = false;   ///< it was there before with this mode
  std::int64_t modified_ns = 0;
  std::uint64_t size = 0;
  std::string target;  ///< symlink
  /// file: the name of its content in kActionChanges; 0: it could not be kept, see `problem` of the report
  std::uint64_t number = 0;
  bool operator==(const ChangedPath&) const = default;
};

/// Believed as much as the action's exit status: who controls the worker controls both.
struct ActionReport {
  WitnessReport job;       ///< as of a container's; `started` and `ended` are not used
  std::string setup_step;  ///< the job was not started: which step failed, with `setup_errno`; "": it was
  int setup_errno = 0;
  std::string setup_detail;
  EndedFor ended_for = EndedFor::nothing;
  /// How stdout and stderr took turns: bytes that came on one before the other. Empty from where there were too many turns.
  struct Turn {
    Stream stream = Stream::out;
    std::uint64_t bytes = 0;
    bool operator==(const Turn&) const = default;
  };
  std::vector<Turn> turns;
  bool reports_cut = false;  ///< more was written to descriptor 3 than is kept
  std::vector<std::string> notes;
  std::vector<ChangedPath> changes;
  bool changes_truncated = false;
  std::string collect_problem;  ///< one line; "" none
};

/// Most that a report may have, for who writes and who reads it.
inline constexpr std::size_t kMostTurns = 20'000;
inline constexpr std::size_t kMostChangedPaths = 100'000;
inline constexpr std::size_t kMostReportBytes = 64u << 20;

/// What a witness exits with that says this. Never 128 or more, so that an action that ended so was killed; 0 only of a job that exited
/// with 0 and left nothing behind, for that is what engines keep.
[[nodiscard]] int exit_code_of(const ActionReport& report);

[[nodiscard]] std::string report_bytes(const ActionReport& report);
/// The reverse, bounded and checked: paths are relative, of parts that are names. corrupt: it is none.
Result<ActionReport> read_report(std::string_view bytes);

}  // namespace casemate
