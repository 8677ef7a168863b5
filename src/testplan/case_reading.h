// case_reading: the cases and steps of a document, each by itself: ids and dependencies are as they stand there.
#pragma once

#include <vector>

#include "testplan/models.h"
#include "testplan/plan_table.h"

namespace casemate {

/// The steps in the list `steps`; an object, or a text that is a command. `pointer` says where the list stands.
std::vector<PlanStep> read_steps(const nlohmann::ordered_json& steps, const std::string& pointer, PlanStep::Type by_default,
                                 ReadingLog& log);
/// One case. Its command_line is the first of its steps, and what the case expects is that one's; where it has none, it is a verification
/// without a command at the end. `taken` gets the values that the case as a whole takes from others.
PlanCase read_case(const nlohmann::ordered_json& value, const std::string& pointer, std::vector<Extraction>& taken, ReadingLog& log);

}  // namespace casemate
