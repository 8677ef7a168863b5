// showing: runs of plans that the database keeps: what came of them, a list of them, all of one in files.
#pragma once

#include "apps/plan/request.h"

namespace casemate {

/// Exit status 0; 2 where there is no such run or case; 125 where the database can't be read.
int show_plan_run(const PlanRequest& request);
int list_plan_runs(const PlanRequest& request);
int export_plan_run(const PlanRequest& request);

}  // namespace casemate
