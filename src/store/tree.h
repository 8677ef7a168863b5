// tree: whole directory trees on disk: summed up, digested, removed. Their contents are hostile: any names, modes, depths and kinds of
// file; symbolic links are never followed and no path of more than one part is resolved.
#pragma once

#include <cstdint>
#include <string>

#include "casemate/result.h"

namespace casemate {

/// A tree in numbers.
struct TreeSummary {
  std::string digest;       ///< 64 hex digits over the sorted walk
  std::uint64_t bytes = 0;  ///< of regular files; holes don't count
  std::uint64_t files = 0;  ///< entries that are no directories
  std::uint64_t unreadable =
      0;  ///< directories (and for `contents`, files) that may not be read; they enter the digest by their name alone
};

/// How much of each file goes into a summary.
enum class TreeDepth {
  metadata,  ///< digest over path, type, mode, size, modification time, link target, device number: a few microseconds an entry
  contents,  ///< digest over path, type, mode, size, link target, device number and the bytes of files: reads everything but holes
};

/// Walks the tree below the directory `path`. Fails with invalid_input for a tree more than 256 directories deep.
Result<TreeSummary> summarize_tree(const std::string& path, TreeDepth depth);

/// Removes `path`, a file or a directory with all below it, read-only directories and any depth included. Nothing there: fine. Goes on past
/// what can't be removed and then fails, naming the first such path (entries of other owners, for an unprivileged user: EACCES).
Result<void> remove_tree(const std::string& path);

}  // namespace casemate
