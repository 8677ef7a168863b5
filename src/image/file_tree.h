// file_tree: listed files written into a directory that becomes a layer, each read once for copy and digest.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "casemate/result.h"
#include "image/file_list.h"
#include "sys/fd.h"

namespace casemate {

/// What reading a file gave.
struct FileRead {
  std::string digest;      ///< 64 hex digits
  FileStamp stamp;         ///< before it was read
  bool gone = false;       ///< there is no such file any more; nothing else is set
  bool unchanged = false;  ///< the stamp is the same afterwards, and old enough to change with the next write
};

/// Digests a listed file. refused: it can't be read or is no regular file any more; exhausted: over 64 GiB.
Result<FileRead> read_listed_file(const ListedFile& file, const std::string& label);

/// Fills a directory (ours alone) with entries of a list. Nothing outside is touched whatever the names are.
class FileTree {
 public:
  /// `label` begins every message.
  static Result<FileTree> open(const std::string& directory, std::string label);

  /// Copies a file, with its permission bits and time; shares blocks where the file system can (FICLONE, Linux 4.5). `read.digest` is of
  /// what was written. exhausted: the disk is full.
  Result<FileRead> add_file(const ListedFile& file);
  /// Makes a directory or symlink.
  Result<void> add(const ListedFile& file);
  /// Hides `path` of the layer below. not_supported where the file system or a container won't have a character device 0:0.
  Result<void> add_whiteout(const std::string& path);
  /// Moves all that was made into another directory of the same file system, and gives directories the modes and times that `files`
  /// (sorted) has for them. Until then they can be written to.
  Result<void> move_to(const std::string& directory, const std::vector<ListedFile>& files);

 private:
  FileTree(UniqueFd top, std::string label) : top_(std::move(top)), label_(std::move(label)) {}
  Result<int> parent_of(const std::string& path, std::string& name);
  [[nodiscard]] std::unexpected<Error> problem(const std::string& path, int errno_value) const;

  UniqueFd top_;
  std::string label_;
  std::string parent_;
  UniqueFd parent_fd_;
  std::uint64_t bytes_ = 0;
};

}  // namespace casemate
