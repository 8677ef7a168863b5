// rerun: --watch: a run, and another one whenever the project changes, until somebody has had enough.
#pragma once

#include <functional>
#include <string_view>

#include "session/request.h"

namespace casemate {

/// Calls `run` (which gives an exit status) at once, after each edit of a file of the project, and when Enter is pressed; an edit during a
/// run is followed by another one. Ends with q, SIGINT, SIGTERM or SIGHUP: the last run's status, or 128 and the signal's number.
int rerun_on_changes(const PytestRequest& request, std::string_view program, const std::function<int()>& run);

}  // namespace casemate
