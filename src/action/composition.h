// composition: a root put together from trees that are there already: a base, and others at places in it.
#pragma once

#include <span>
#include <string>
#include <variant>

#include "action/input_directory.h"
#include "casemate/result.h"

namespace casemate {

/// What is put at a place of a root.
struct PlacedInput {
  using SymlinkTarget = std::string;
  std::string place;  ///< absolute; ".." and symlinks in it lead where they would lead in the root
  std::variant<InputDirectoryPtr, InputDirectory::File, SymlinkTarget> input;
};

/// `base` with these put into it, one after the other, as mounts are: a directory or file replaces what is there; a symlink of the root at
/// or on the way to its place is followed within the root; directories that are missing are made, and only those along the ways are new,
/// the rest is shared. A symlink replaces what has its name. invalid_input: something that is no directory is in the way, symlinks go
/// round, names are no UTF-8.
Result<InputDirectoryPtr> compose(const InputDirectoryPtr& base, std::span<const PlacedInput> placed);

/// Where the absolute `path` leads in the root when all its symlinks are followed within it ("/bin" may be "/usr/bin"); what is not there
/// is taken as yet to be made. Errors as those of compose().
Result<std::string> resolve_input(const InputDirectoryPtr& root, const std::string& path);

}  // namespace casemate
