// failure_text: all that is known about a test that did not pass, for a screen: pytest's text, what it captured, what went past it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// `text` in at most about `limit` bytes: its head and its tail, cut at ends of lines where there are any near, and between them a line
/// that says how many bytes were left out: "[... 12 bytes left out ...]", or, for `stream`, "stderr truncated, 12 bytes lost" as maelstrom
/// has it.
[[nodiscard]] std::string head_and_tail(std::string_view text, std::uint64_t limit, std::string_view stream = "");

/// Line ends of all kinds as newlines, and one at the end unless `text` is empty: progress bars become lines.
[[nodiscard]] std::string with_newlines(std::string_view text);

/// How many bytes each of texts of these `sizes` gets of `limit`: short ones all they have, the rest is shared evenly among the long ones.
[[nodiscard]] std::vector<std::uint64_t> shares(const std::vector<std::uint64_t>& sizes, std::uint64_t limit);

/// A heading of pytest's kind, then the texts of what failed, captured sections (each once), what went past the capture, the end of its
/// process, leftovers and notes. Printable, whole lines. `limit` bounds the hostile part in bytes. `of_plan`: a plan's case, whose reason
/// says how its command ended, and whose commands may leave something running.
[[nodiscard]] std::string failure_text(const TestResult& result, std::uint64_t limit, std::size_t columns, bool colors,
                                       bool of_plan = false);

}  // namespace casemate
