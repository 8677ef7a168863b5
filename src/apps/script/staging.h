// staging: the script and its inputs, copied into one directory, which becomes /app.
#pragma once

#include <string>
#include <vector>

#include "apps/script/arguments.h"
#include "casemate/result.h"

namespace casemate {

/// The host directory that becomes /app.
struct Staged {
  std::string directory;             ///< on the host; lies under the cell's writable /app
  std::string script;                ///< the script's name in it
  std::string requirements;          ///< absolute host path
  std::vector<std::string> skipped;  ///< what in an input directory was no file, directory or symlink, for people
};

/// Copies script and inputs, under their base names, into `directory`/app, which is made. Symlinks that the user named are followed, those
/// inside an input directory are copied as links. Holes stay holes, and where the file system can, nothing is copied at all (FICLONE,
/// Linux 4.5). Fails with not_found for a file that is missing, unreadable or of the wrong type, with invalid_input for two of one name,
/// with exhausted when the disk is full.
Result<Staged> stage_files(const ScriptRequest& request, const std::string& directory);

}  // namespace casemate
