// task_directories: where each task's order, grade, reports and output lie, and which of them stay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "casemate/result.h"

namespace casemate {

/// STATE/tasks/<number>; for nobody but us.
class TaskDirectories {
 public:
  /// Makes STATE/tasks.
  static Result<TaskDirectories> open(const std::string& state_directory);
  [[nodiscard]] std::string path(std::int64_t number) const;
  /// An empty one: what an earlier attempt left goes.
  Result<std::string> make(std::int64_t number) const;
  /// Whether there is room for what a task leaves; `exhausted`, and what to do, where the disk is full.
  [[nodiscard]] Result<void> check_room() const;
  /// An empty one beside them, STATE/asking, for what is no task; removed by remove_asking().
  Result<std::string> make_asking() const;
  void remove_asking() const;
  /// Removes all but the `keep` with the largest numbers and those that are `in_use`.
  Result<void> prune(std::size_t keep, const std::set<std::int64_t>& in_use) const;

 private:
  TaskDirectories(std::string directory, std::string asking) : directory_(std::move(directory)), asking_(std::move(asking)) {}
  std::string directory_;  // absolute
  std::string asking_;     // absolute
};

}  // namespace casemate
