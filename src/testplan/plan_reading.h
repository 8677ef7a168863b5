// plan_reading: a document as a test plan, tolerant of the names that generators use.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "testplan/document.h"
#include "testplan/models.h"

namespace casemate {

/// Reads what is known, leaves what isn't (it stays in the document). invalid_input names the place and the value: "plan.yaml:
/// test_cases[3] .steps[0].timeout: 'soon' is no number of seconds"; also: two cases or steps of one id, a dependency on nothing or in a
/// circle (named in full), no tool_name, no cases. All problems at once, one a line, up to 20.
Result<TestPlan> read_plan(const Document& document, const std::string& name);
/// A configuration's `execution:` table, laid over `execution` where it says something.
Result<void> read_execution(const nlohmann::ordered_json& table, const std::string& name, PlanExecution& execution);

/// Puts `status`, `result` and `actual_*` into the document that the plan was read from; nothing else of it changes.
void write_result(const TestPlan& plan, const PlanResult& result, nlohmann::ordered_json& document);

}  // namespace casemate
