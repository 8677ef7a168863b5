// action: the witness around the job of a remote action.
#pragma once

#include <string>

namespace casemate {

/// Runs what the order at `path` says, with the working directory the action's input root, and leaves an ActionReport there when nothing of
/// the job runs any more. What it ends with: the job's status where that is below 124, else 124 (a limit ended it), 125 (nothing was
/// started), 126, 127 (it could not be executed; its status or signal can't be told from others). Nobody but the witness is to say how a
/// job ended: it can't be traced, and an action whose exit code is none of these was killed.
int witness_action(const std::string& path);

}  // namespace casemate
