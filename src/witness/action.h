// action: the witness around the job of a remote action.
#pragma once

#include <string>

namespace casemate {

/// Runs what the order at `path` says, with the working directory the action's input root, and leaves an ActionReport there when nothing of
/// the job runs any more. What it ends with: the job's status, but never more than 127; 124 (a limit ended it), 125
/// (nothing was started), 126 and 127 (it could not be executed, or a signal ended it). So an action that ended with more was one whose
/// witness was killed, and what lies in its report's place is not its word.
int witness_action(const std::string& path);

}  // namespace casemate
