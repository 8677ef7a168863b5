#include "apps/plan/plan.h"

#include "apps/plan/execution.h"
#include "apps/plan/init.h"
#include "apps/plan/request.h"
#include "apps/plan/showing.h"

namespace casemate {

int plan_main(const std::vector<std::string>& arguments) {
  const auto request = read_plan_arguments(arguments);
  if (!request) return request.error();
  switch (request->action) {
    case PlanRequest::Action::show:
      return show_plan_run(*request);
    case PlanRequest::Action::list:
      return list_plan_runs(*request);
    case PlanRequest::Action::export_run:
      return export_plan_run(*request);
    case PlanRequest::Action::init:
      return init_plan(*request);
    default:
      return run_plan_command(*request, arguments);
  }
}

}  // namespace casemate
