// init: `casemate plan init`: a first plan from what a tool says of itself.
#pragma once

#include "apps/plan/request.h"

namespace casemate {

/// Gives the exit status: 0; 2 for wrong usage; 125 where the tool can't be got or asked.
int init_plan(const PlanRequest& request);

}  // namespace casemate
