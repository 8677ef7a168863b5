// results: the directory that receives captured files, deleted and made anew on every run.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// A results directory that is this run's as long as this lives: flock(2) on it keeps other runs out.
struct Results {
  std::string directory;  ///< absolute
  UniqueFd lock;          ///< none where the file system knows no flock
};

/// Deletes `directory` and all in it, makes it anew, empty, and holds it. Because this deletes what a user may have typed in
/// error, it refuses (invalid_input): a symlink, a file, a mount point, "/", the current directory, HOME, anything these or one of `needed`
/// lie in, a directory that holds a .git, and one other than ./results that has anything in it and was not made by an
/// earlier run (which leaves the xattr user.casemate.results on it). Symlinks inside are removed, never followed. Fails with refused if
/// another run holds it or makes it at the same moment, with refused or exhausted where the file system does.
Result<Results> renew_results(const std::string& directory, const std::vector<std::string>& needed);

}  // namespace casemate
