// environment_tree: the files of an environment in another layer: the same ones by links, never copies.
#pragma once

#include <string>

#include "casemate/result.h"

namespace casemate {

/// Makes the directory `target`, on the same file system, a tree of links to the files of the environment in `layer`, which packages wrote:
/// symlinks are copied, none is followed. What is neither file, directory nor symlink is left out. refused: it can't be.
Result<void> link_environment(const std::string& layer, const std::string& target);

/// Moves bytecode (regular files "*.pyc" in directories "__pycache__") from `source`, hostile, to the same places in `target` where there
/// is none yet; the rest of `source` is left alone. Both on one file system.
Result<void> add_bytecode(const std::string& source, const std::string& target);

}  // namespace casemate
