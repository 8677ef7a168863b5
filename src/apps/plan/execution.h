// execution: run, record and verify: a plan from its file to all that is kept of it.
#pragma once

#include <string>
#include <vector>

#include "apps/plan/request.h"
#include "casemate/result.h"

namespace casemate {

/// Gives the exit status. `arguments`: as typed, for reports; values of -e are left out of them.
int run_plan_command(const PlanRequest& request, const std::vector<std::string>& arguments);

/// One line (or several, of a plan that can't be read) on stderr; with --json an object on stdout.
int refuse_plan(const PlanRequest& request, const Error& error, int status);
/// 2 for what the user gave, 125 for what we, the host or a daemon could not do.
[[nodiscard]] int status_of(const Error& error);

}  // namespace casemate
