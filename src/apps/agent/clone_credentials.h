// clone_credentials: the file of --clone-credentials, by which git gets at private repositories.
#pragma once

#include <string>

#include "casemate/result.h"

namespace casemate {

/// Looks at a file in git-credential-store(1)'s format (a line for each server: an URL with user and password) and gives its absolute path.
/// It must be a regular file that this process may read, owned by its user and closed to everybody else; or owned by root, closed to all
/// but a group or an access list, as systemd hands out credentials. Fails with invalid_input; no text has any of its content.
Result<std::string> check_clone_credentials(const std::string& path);

}  // namespace casemate
