// input: what a job reads as its stdin when the caller passes his own on (-i).
#pragma once

#include "casemate/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {

/// The reading end of a pipe, and the process that feeds it. A job must not get the caller's descriptor itself: a terminal can be written
/// to and reconfigured through it, any file can be opened again for writing by /proc/self/fd/0 where the job's user is the caller, and
/// O_NONBLOCK set on a pipe stays set for the caller.
class Input {
 public:
  /// A job's stdin from `fd`, which stays the caller's. invalid_input for a directory: it would lead to the
  /// host's files.
  static Result<Input> from(int fd);
  [[nodiscard]] int fd() const { return end_.get(); }

 private:
  UniqueFd end_;
  ChildProcess feeder_;  // killed with this object; it dies with this process as well
};

}  // namespace casemate
