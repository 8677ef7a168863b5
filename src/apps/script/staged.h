// staged: the script and its inputs, copied into one directory, which becomes /app.
#pragma once

#include <string>
#include <vector>

#include "apps/script/arguments.h"
#include "casemate/result.h"

namespace casemate {

/// What stage_files() made ready, by its paths on the host.
struct Staged {
  std::string directory;             ///< on the host; lies under the cell's writable /app
  std::string script;                ///< the script's name in it
  std::string requirements;          ///< absolute host path
  std::vector<std::string> skipped;  ///< what in an input directory was no file, directory or symlink, for people
};

/// Copies script and inputs, under their base names, into `directory`/app, which is made. Fails as Staging::add() does.
Result<Staged> stage_files(const ScriptRequest& request, const std::string& directory);

}  // namespace casemate
