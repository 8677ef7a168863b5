// results: the directory that receives captured files, deleted and made anew on every run.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// Deletes `directory` and all in it, makes it anew, empty, and gives its absolute path. Because this deletes what a user may have typed in
/// error, it refuses (invalid_input): a symlink, a file, a mount point, "/", the current directory, HOME, anything these or one of `needed`
/// lie in, a directory that holds a .git, and one other than ./results that has anything in it and was not made by an
/// earlier run (which leaves the xattr user.casemate.results on it). Symlinks inside are removed, never followed. Fails with refused or exhausted where the file
/// system does.
Result<std::string> renew_results(const std::string& directory, const std::vector<std::string>& needed);

}  // namespace casemate
