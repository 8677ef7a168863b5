// staging: files and directories of the host, copied under their base names into one directory: the lower layer of a job's working
// directory.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Copies what a user names into a new directory. Symlinks that the user named are followed, those inside a named directory are copied as
/// links. Holes stay holes, and where the file system can, nothing is copied at all (FICLONE, Linux 4.5).
class Staging {
 public:
  /// Makes `directory` (its parent exists). `shown_at` is where the cell shows it, for messages ("/app").
  static Result<Staging> create(const std::string& directory, std::string shown_at);
  /// Copies one file or, if allowed, directory; gives its name. `option` names the flag it came from, for messages. Fails with not_found
  /// for a file that is missing, unreadable or of the wrong type, with invalid_input for two of one name, with exhausted when the disk is
  /// full.
  Result<std::string> add(std::string_view option, const std::string& path, bool directory_allowed);
  /// What in an input directory was no file, directory or symlink, for people.
  std::vector<std::string> take_skipped() { return std::move(skipped_); }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  struct Named {
    std::string path;
    dev_t device;
    ino_t inode;
  };

  Staging(UniqueFd target, std::string directory, std::string shown_at)
      : target_(std::move(target)), directory_(std::move(directory)), shown_at_(std::move(shown_at)) {}
  static Result<void> copy(int source, const struct stat& info, int into, const std::string& name, const std::string& path);
  Result<void> copy_directory(int source, int into, const std::string& name, const std::string& path, int depth);
  Result<void> copy_entry(int source, int into, const std::string& name, const std::string& path, int depth);
  [[nodiscard]] bool is_own(int fd) const;

  UniqueFd target_;
  std::string directory_;
  std::string shown_at_;
  std::map<std::string, Named> named_;
  std::vector<std::string> skipped_;
};

/// An Error for a file that the user named with `option` and that could not be opened or read. All that is the file's own fault is
/// not_found.
[[nodiscard]] std::unexpected<Error> fail_named_file(std::string_view option, const std::string& path, int errno_value);
/// The same with words instead of an errno.
[[nodiscard]] std::unexpected<Error> fail_named_file(ErrorCode code, std::string_view option, const std::string& path,
                                                     std::string_view what, int errno_value = 0);

}  // namespace casemate
