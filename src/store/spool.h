// spool: run records on their way into the history database, one JSON line each in casemate.spool. Writers append; History::open() takes
// them in.
#pragma once

#include <string>
#include <string_view>

#include "casemate/result.h"
#include "store/history.h"

namespace casemate {

/// No line is longer, newline included.
inline constexpr std::size_t kSpoolLineLimit = 4096;

/// A record and the id it was spooled under, which keeps it from being taken in twice.
struct SpoolLine {
  std::string id;  ///< 16 hex digits
  RunRecord record;
};

/// One line without its newline, at most kSpoolLineLimit - 2 bytes of JSON. What doesn't fit goes in this order: details, then the ends of
/// the texts.
[[nodiscard]] std::string to_spool_line(const SpoolLine& line);
/// The reverse, from any bytes at all; corrupt for what to_spool_line() does not write. Texts come back bounded and printable.
Result<SpoolLine> parse_spool_line(std::string_view text);

/// The texts of a record made fit to keep: printable, on one line, bounded; `details` an object in JSON or "{}".
[[nodiscard]] RunRecord tidy(RunRecord record);

}  // namespace casemate
