// report_watch: how often the tests' report was written. pytest does it once; what more there is, somebody else may have written.
#pragma once

#include <string>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Watches a directory (inotify(7)) from begin() on, whoever writes there and through which mount.
class ReportWatch {
 public:
  static Result<ReportWatch> begin(const std::string& directory);
  /// How many times a file of this name was closed by a writer, or moved there, until now. Each is counted once; many thousands may be
  /// told as fewer.
  [[nodiscard]] unsigned writes(std::string_view name);

 private:
  explicit ReportWatch(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace casemate
