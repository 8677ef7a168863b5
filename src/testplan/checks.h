// checks: whether what came is what was expected. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "testplan/models.h"

namespace casemate {

/// The status as a shell has it: 128 + N where signal N ended the command; unset where nobody knows.
[[nodiscard]] std::optional<int> exit_code(const StepResult& result);
/// Sets status and reason of a step whose command has ended. A step without a command is judged by the outcome and the output of the
/// command before it, which the caller has put into `result`; one that says nothing to look for either is skipped. `present` says whether a
/// file of Expectations::files is there, `contents` what is in those of Expectations::contents. A `background` step may have no outcome
/// yet.
void judge(const PlanStep& step, StepResult& result, const std::vector<bool>& present, const std::vector<std::string>& contents = {});
/// Status and reason of a case from its steps': the first that did not pass says both; a failed setup makes it an error, and so does a
/// failed teardown of a case that passed else. Steps that say nothing don't count.
void judge(const PlanCase& one, CaseResult& result);
/// Whether `wanted` is in `text`, A to Z taken for a to z.
[[nodiscard]] bool contains_ignoring_case(std::string_view text, std::string_view wanted);

/// How many cases went how.
struct PlanTotals {
  std::size_t total = 0, passed = 0, failed = 0, error = 0, skipped = 0, not_run = 0;
};
[[nodiscard]] PlanTotals totals(const PlanResult& result);

}  // namespace casemate
