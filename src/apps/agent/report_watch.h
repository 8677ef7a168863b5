// report_watch: how often the tests' report was written. pytest does it once; what more there is, somebody else may have written.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Watches a directory (inotify(7)) from begin() on, whoever writes there and through which mount.
class ReportWatch {
 public:
  /// Fails where there is no such directory, or where the user has too many watches.
  static Result<ReportWatch> begin(const std::string& directory);
  /// How many times a file of this name was closed by a writer, or moved there, until now. Each is counted once; where there was more
  /// than the kernel keeps it is at least two.
  [[nodiscard]] unsigned writes(std::string_view name);

 private:
  explicit ReportWatch(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace casemate
