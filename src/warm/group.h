// group: many units of tests for one interpreter that is alone (order G of protocol.h): what it is told, and what it tells. Everything that
// is told is hostile.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "casemate/job.h"
#include "casemate/outcome.h"
#include "warm/stream.h"

namespace casemate {

/// Tests that share a process; they are told of by their place in the group.
struct GroupUnit {
  std::string file;
  std::string hash;    ///< of the file, as the collector named it; "": not checked
  bool whole = false;  ///< from a parent that has collected every file
  bool cold = false;   ///< in a fresh interpreter
  std::vector<std::string> ids;
  std::optional<std::chrono::milliseconds> wall;
};

/// For the executor of a group (WarmExecutor, {"group", UNITS, REWRITTEN}): units of the same parent together, else in the order given.
[[nodiscard]] std::string group_units(const std::vector<GroupUnit>& units);

/// The file kGroupPlace: `units` as group_units() has them; what each of them may use and write to is what `fork` says.
[[nodiscard]] std::string group_order(std::string_view units, const Job& fork, std::uint64_t capture_bytes);

/// A unit begins.
struct GroupBegin {
  std::uint64_t unit = 0;
};
/// A piece of a unit's own stream.
struct GroupPiece {
  std::uint64_t unit = 0;
  std::string bytes;
};
/// A unit is over.
struct GroupOver {
  std::uint64_t unit = 0;
  std::optional<int> wait_status;
  std::string limit;                ///< that it was ended for: "wall", "memory", "pids"; "": none
  std::string failed;               ///< the step in which it could not begin
  int problem = 0;                  ///< errno of that
  std::optional<std::string> died;  ///< the process that forks for it did
  Resources resources;
  Output output;
  std::vector<Leftover> leftovers;
};
/// What units have for themselves.
struct GroupApart {
  bool cells = false;
  std::string note;
  bool root = false;  ///< they run as root
};
/// Tests of a file need fresh interpreters.
struct GroupTied {
  std::string file;
  std::string left;
};
/// Alone a file is collected otherwise.
struct GroupDiffers {
  std::string file;
};
/// The last line.
struct GroupDone {};
/// monostate: no line that makes sense.
using GroupLine =
    std::variant<std::monostate, GroupBegin, GroupPiece, GroupOver, GroupApart, GroupTied, GroupDiffers, StreamAbout, GroupDone>;

/// One line without its newline. Never fails.
[[nodiscard]] GroupLine read_group_line(std::string_view line);

/// A unit's end as that of a job with these limits, in the same words.
[[nodiscard]] JobResult result_of(GroupOver over, const Limits& limits);

}  // namespace casemate
