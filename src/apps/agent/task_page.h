// task_page: a task as the HTML page that `casemate pytest --html` writes too.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "apps/agent/grade.h"
#include "apps/agent/order.h"
#include "casemate/result.h"

namespace casemate {

/// Writes the page at `path`: the cases, as notes what went wrong and what each step took, and the end of the tests' output.
Result<void> write_task_page(const std::string& path, const WorkOrder& order, const Grade& grade, const std::vector<StepReport>& steps,
                             std::string_view output, std::chrono::system_clock::time_point began);

}  // namespace casemate
