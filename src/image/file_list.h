// file_list: the files that a layer is to have: where each will lie in the root, what it is, and which file of the host it is taken from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include "casemate/result.h"
#include "image/layer_spec.h"
#include "image/merged_root.h"

namespace casemate {

/// What a list may hold at most.
inline constexpr std::size_t kMostLayerFiles = 2'000'000;

/// What tells that a file is as it was: any write to it changes one of these.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  ///< nanoseconds since 1970
  std::int64_t changed = 0;   ///< ctime, the same

  bool operator==(const FileStamp&) const = default;
};

/// The stamp of a file.
[[nodiscard]] FileStamp stamp_of(const struct stat& info);
/// Whether a write at `now` or later can't leave the stamp as it is: a file system's clock ticks every few milliseconds, some have only
/// whole seconds, or two.
[[nodiscard]] bool is_settled(const FileStamp& stamp, const timespec& now);

/// One entry of a layer to be.
struct ListedFile {
  enum class Type : char { directory = 'd', file = 'f', symlink = 'l' };
  std::string path;  ///< in the root, without a slash in front: "usr/lib/x"
  Type type = Type::file;
  std::uint32_t mode = 0644;  ///< permission bits; directories: the sticky bit too
  std::string source;         ///< file: absolute path on the host; "": an empty file
  std::string target;         ///< symlink
  FileStamp stamp;            ///< file with a source
  std::int64_t modified = 0;  ///< nanoseconds; what the entry's time will be
  std::string digest;         ///< file: 64 hex digits, "" as long as nobody has read it
};

/// Collects files from the host, then puts them in order. Symlinks that the user did not ask to follow stay links; what is neither file,
/// directory nor symlink is left out. Casemate's own directories (`own`) are never entered. `label` begins every message:
/// "layers[2]: glob '**.py'".
class FileList {
 public:
  FileList(std::string project, std::string label, std::vector<std::string> own);

  /// Files that match. Directories named ".git" are entered only if the pattern names them. invalid_input for a bad pattern; refused where
  /// a directory can't be read.
  Result<void> add_glob(const GlobLayer& layer);
  /// One file, or a directory with all below it. not_found if it is not there.
  Result<void> add_path(const std::string& path, const PrefixOptions& prefix);
  /// An empty file, or a directory if `path` ends in '/'.
  Result<void> add_stub(const std::string& path);
  Result<void> add_symlink(const std::string& path, const std::string& target);

  /// All entries sorted by path, each path once, directories that others need added. Paths lead where `below`'s symlinks between
  /// directories lead; a directory that `below` has keeps its mode. Of two files for one path the one added later stays; a file and a
  /// directory for one path are invalid_input.
  Result<std::vector<ListedFile>> finish(MergedRoot& below) &&;

 private:
  struct Walk;

  [[nodiscard]] std::unexpected<Error> problem(ErrorCode code, std::string_view path, std::string_view what, int errno_value = 0) const;
  Result<std::string> path_in_root(const std::string& typed, const PrefixOptions& prefix) const;
  Result<void> add(ListedFile file, const std::string& typed, const std::string& canonical, const PrefixOptions& prefix);
  Result<void> walk(Walk& walk, int directory, const std::string& typed, const std::string& canonical, int depth);
  Result<void> walk_entry(Walk& walk, int directory, const std::string& name, unsigned char type, const std::string& typed,
                          const std::string& canonical, int depth);
  Result<void> enter(Walk& walk, int parent, const std::string& name, const std::string& typed, const std::string& canonical, int depth,
                     bool wanted);
  [[nodiscard]] bool is_own(const struct stat& info) const;
  [[nodiscard]] bool lies_in_own(const std::string& canonical) const;

  std::string project_;
  std::string label_;
  std::vector<std::pair<dev_t, ino_t>> own_;
  std::vector<std::string> own_paths_;  // the same, resolved
  std::vector<ListedFile> files_;
};

}  // namespace casemate
