// task_page: a task as one HTML page that needs nothing else: no server, no network, no script.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "apps/agent/grade.h"
#include "apps/agent/order.h"
#include "casemate/result.h"

namespace casemate {

/// What a page tells. The grade's texts, the steps' and the output are hostile.
struct TaskPage {
  const WorkOrder& order;
  const Grade& grade;
  const std::vector<StepReport>& steps;
  std::string_view output;  ///< of the tests' command
  std::chrono::system_clock::time_point began;
  std::chrono::microseconds took{0};
  bool own_memory = false;  ///< a case's memory is that of the cell which WorkOrder::isolation gave it, not of all cases together
};

/// The page: what was graded, the cases, what each step took and said, and the end of the output. URLs are without user and password.
[[nodiscard]] std::string task_page(const TaskPage& page);
/// Writes it to `path`; it appears there whole.
Result<void> write_task_page(const std::string& path, const TaskPage& page);

}  // namespace casemate
