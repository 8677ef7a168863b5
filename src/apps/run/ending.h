// ending: how a job's end is told to a person.
#pragma once

#include <string>

#include "casemate/outcome.h"

namespace casemate {

/// The outcome as one line: in its own words, but for a command that was not found or can't be executed (exit statuses 127 and 126), which
/// is told as a shell tells it, with what to do; `on_image`: its root was an image, not the host's programs; `remote`: it ran on an
/// engine's worker. May hold bytes that the caller chose: make it printable.
[[nodiscard]] std::string ending_line(const Outcome& outcome, bool on_image = false, bool remote = false);

}  // namespace casemate
