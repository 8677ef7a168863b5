// plan_references: what the ids of a plan mean: who is who, who needs whom, and in which order steps run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "testplan/models.h"
#include "testplan/plan_table.h"

namespace casemate {

/// Gives ids to who has none, makes every id unique in the plan ("CASE.STEP" where two cases name a step alike), turns every dependency and
/// Extraction::of into the id of a case or step, and puts each case's steps in their order. `values_of_cases` has, by a case's place in the
/// plan, what the case takes from others: its first step gets them. Problems: two of one id, a dependency on nothing, a circle, something
/// that needs what runs after it. Time: n log n.
void settle_references(TestPlan& plan, std::map<std::size_t, std::vector<Extraction>> values_of_cases, ReadingLog& log);

/// The nodes of one circle of `needs` (node -> those before it), in order; empty if there is none.
[[nodiscard]] std::vector<std::size_t> find_circle(const std::vector<std::vector<std::size_t>>& needs);

}  // namespace casemate
