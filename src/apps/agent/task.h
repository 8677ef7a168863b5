// task: one task of a backend, in either wire form, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "apps/agent/settings.h"
#include "casemate/result.h"

namespace casemate {

/// What is to be graded. Everything in it is the backend's: hostile, bounded, without NUL.
struct Task {
  WireForm form = WireForm::attempt;
  std::int64_t attempt = 0;  ///< form A
  std::string id;            ///< form B; at most 200 bytes
  std::string repository_url;
  std::string branch;
  std::vector<std::int64_t> laboratories;    ///< laboratoryNumber: none, one or several
  std::vector<std::string> connected_tests;  ///< names for -k, exactly as given; empty: all
  std::string problem;                       ///< why it must not be run: one line; "" if it may
  /// Equal for the same task of the same form: "attempt 21", "id 5f0c...".
  [[nodiscard]] std::string key() const;
};

/// What a backend answered to "what is there to do".
struct TaskAnswer {
  bool available = false;
  Task task;
  std::string
      problem;  ///< available, but the task makes no sense: one line, also in `task`, which has what of it could be read, its key at least
};

/// Reads the body of an answer with status 200. Fails with corrupt if it is neither a task with a key nor one that says there is none.
Result<TaskAnswer> read_task(std::string_view body);

/// As it is kept on disk, and back; task_from_json() fails with corrupt where there is no key.
[[nodiscard]] std::string task_json(const Task& task);
Result<Task> task_from_json(std::string_view text);

}  // namespace casemate
