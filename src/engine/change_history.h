// change_history: what each command of a context changed in a writable layer, told from one walk of it to the next.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "engine/collect.h"

namespace casemate {

/// Remembers how one writable layer looked. What has not changed its look since is not read again, so a walk costs some microseconds an
/// entry of the layer, and the bytes of what changed.
class ChangeHistory {
 public:
  /// `lower` as CollectOptions::lower; `prefix` goes before each path, with its '/'.
  ChangeHistory(std::vector<std::string> lower, std::string prefix) : lower_(std::move(lower)), prefix_(std::move(prefix)) {}

  /// Walks the layer as collect() does, within its bounds, and gives what is different from the last walk, or from an untouched layer:
  /// kinds are against that too. Removed directories are one entry. Processes may change things meanwhile: what is missed then comes next
  /// time. A walk that was not to its end names no removals and is `truncated`, and so is the one after it.
  Result<CollectedFiles> next(int upper_fd, const std::stop_token& stop);
  /// As it was at the last walk.
  [[nodiscard]] const SeenTree& last() const { return last_; }
  [[nodiscard]] const std::vector<std::string>& lower() const { return lower_; }
  [[nodiscard]] const std::string& prefix() const { return prefix_; }

 private:
  std::vector<std::string> lower_;
  std::string prefix_;
  SeenTree last_;
  bool last_truncated_ = false;
};

}  // namespace casemate
