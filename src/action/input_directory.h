// input_directory: a directory of an action's input root with all below it, as a value that actions share.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "action/blob.h"

namespace casemate {

/// Never changed once made: image, project and environment are made once, and a job's root is a few new directories over them.
struct InputDirectory {
  /// A regular file. REAPI keeps of a mode the executable bit alone, and no times.
  struct File {
    Blob blob;
    bool executable = false;
  };
  std::map<std::string, File> files;
  std::map<std::string, std::string> symlinks;  ///< name, target as it is
  std::map<std::string, std::shared_ptr<const InputDirectory>> directories;
  std::string message;  ///< this directory as a canonical Directory message: names sorted, nothing else in it
  BlobDigest digest;    ///< of `message`
};
using InputDirectoryPtr = std::shared_ptr<const InputDirectory>;

/// How deep a tree of inputs may be, as the store has it for its own.
inline constexpr std::size_t kDeepestInput = 256;

/// A directory with its message and digest, from its files, symlinks and directories.
[[nodiscard]] InputDirectoryPtr seal(InputDirectory directory);
/// A directory with nothing in it.
[[nodiscard]] const InputDirectoryPtr& empty_input();
/// A file whose content is at hand.
[[nodiscard]] InputDirectory::File input_file(std::string bytes, bool executable = false);

/// Calls `take` for each blob of the tree (messages and files' contents), each directory that several share once. `enter`, if given, says
/// of a directory whether to look at it and all below it.
void for_each_blob(const InputDirectory& top, const std::function<void(const Blob&)>& take,
                   const std::function<bool(const InputDirectory&)>& enter = {});

}  // namespace casemate
