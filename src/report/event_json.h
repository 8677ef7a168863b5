// event_json: the events of a run as lines of JSON and back: one object a line, "event" says which. This is how a project's last run is
// kept, for `casemate show`: every field comes back. What other programs read is json_lines.
//
// Keys with nothing in them ("", [], false, unknown numbers) are left out; so are "line" 0, "attempt", "repetition" and "repetitions" 1,
// and totals of output that was kept whole. Times are integers in microseconds (`_us`), sizes in bytes. All strings are UTF-8: other bytes
// of a test's output have become U+FFFD, which is all that a way there and back changes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "engine/events.h"

namespace casemate {

/// "format" of the first line; goes up when a key changes its meaning. New keys do not change it: readers skip what they don't know.
inline constexpr int kEventFormat = 1;
/// No line that is longer (bytes) is read back; whoever writes events down leaves texts out before.
inline constexpr std::size_t kEventLineLimit = 64 << 20;

/// Each event as one line without its newline.
[[nodiscard]] std::string event_line(const RunStart& run);
[[nodiscard]] std::string event_line(const Collected& collected);
[[nodiscard]] std::string event_line(const TestStart& start);
[[nodiscard]] std::string event_line(const TestResult& result);
[[nodiscard]] std::string event_line(const RunEnd& end);
[[nodiscard]] std::string progress_line(std::string_view line, bool finished);
[[nodiscard]] std::string note_line(std::string_view line);

/// Hands the event in `line` to `sink`; lines from a newer casemate with an event that is not known are passed over. corrupt: any other
/// bytes that are no event (the file was cut short or changed); the sink has heard nothing then. What run_finished() returns is returned
/// by `problem`, if that is not null.
Result<void> replay(std::string_view line, Sink& sink, std::string* problem = nullptr);

}  // namespace casemate
