// details: what is printed of a script after the result: notes, its traceback and what it wrote.
#pragma once

#include <string>
#include <string_view>

#include "runtime/models.h"

namespace casemate {

/// Notes ("Note: ..." each), and of one that failed, or if `verbose`, its traceback and what it wrote; "" if there is nothing of that. How
/// this host holds limits is told if `verbose` only: it is no script's doing.
[[nodiscard]] std::string script_details(const runtime::ScriptTestResult& result, bool verbose);
/// The same below a line "=== NAME ===", for one of several scripts; nothing of one that was skipped.
[[nodiscard]] std::string script_section(std::string_view name, const runtime::ScriptTestResult& result, bool verbose);

}  // namespace casemate
