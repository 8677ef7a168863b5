// callers_environment: what of the caller's environment programs on the host's own interpreter get.
#pragma once

#include "casemate/job.h"
#include "image/active_python.h"

namespace casemate {

/// Adds this process's environment variables to the job's, whose own stay; but for those that name places or sockets of the host that a
/// cell has not (HOME, TMPDIR, SSH_AUTH_SOCK, ...), are about the terminal's shell, or are casemate's.
void take_callers_environment(Job& job);

/// Packages of "pip install --user" are found through HOME, which is another one in a cell: says PYTHONUSERBASE where `active` has such.
void keep_user_site(Job& job, const ActivePython& active);

}  // namespace casemate
