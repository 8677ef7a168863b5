// why: `casemate explain --why`: which inputs of a command have changed since it last ran with --cache.
#pragma once

#include <string>
#include <vector>

#include "casemate/job.h"
#include "command/remote_options.h"
#include "store/store.h"

namespace casemate {

/// Prints it, as one JSON object if `json`; the result is the program's exit status. The job is complete, its inputs are in place.
/// `engine`: where it would run; nullptr: here.
int tell_why(const Job& job, Store& store, const RemoteChoice* engine, bool json);

/// Whether a command is `casemate pytest ...`, which has inputs of its own.
[[nodiscard]] bool is_of_tests(const std::vector<std::string>& command);
/// Becomes `casemate pytest --why` with the rest of `command`; comes back, with the exit status, only if that can't be started.
int tell_why_of_tests(const std::vector<std::string>& command, bool json);

}  // namespace casemate
