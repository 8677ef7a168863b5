// place: a directory on disk that is ours (the cache, the state): made private, checked, and its failures told in words that help.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// A directory of ours and the environment variable that moves it; for messages.
struct Place {
  std::string directory;  ///< absolute
  std::string variable;   ///< "CASEMATE_CACHE_DIR"

  /// An Error for a failed system call on something below the directory: `exhausted` for a full disk or quota, `refused` where it may not
  /// be written, each saying what to do; else as fail_errno().
  [[nodiscard]] std::unexpected<Error> failure(const std::string& what, int errno_value) const;
  /// Makes the directory and its parents (0700) where missing, and refuses one that other users could have filled: it must belong to the
  /// effective user or root and not be writable for all.
  [[nodiscard]] Result<void> make() const;
};

/// `path` made absolute by the current directory, without trailing slashes.
Result<std::string> absolute_path(const std::string& path);

/// `path` without symlinks (where it does not exist, as absolute_path() has it) and the directories above it, nearest first, "/" last.
Result<std::vector<std::string>> upwards_from(const std::string& path);

}  // namespace casemate
