// saved_run: a run out of the database, as it was when it ended, or was killed.
#pragma once

#include <string>
#include <vector>

#include "apps/plan/case_record.h"
#include "casemate/result.h"
#include "store/plan_history.h"
#include "testplan/document.h"
#include "testplan/models.h"

namespace casemate {

/// Its row, with all that it names read.
struct SavedRun {
  PlanRunRow row;
  Document document;  ///< the plan as it was read, without results
  TestPlan plan;
  PlanResult result;
  PlanRemainder remainder;
  std::vector<PlanArtifact> artifacts;
};

/// What a plan's digest is of: its document with the results of earlier runs taken out. `document` may have any.
[[nodiscard]] std::string text_without_results(const TestPlan& plan, Document document);

/// `id`: any beginning of one, or "latest". not_found: there is none; corrupt: somebody changed it.
Result<PlanRunRow> find_run(const PlanHistory& history, const std::string& id);
/// A run that is not finished has no totals: those of the cases that have ended, and the time that they took.
Result<PlanRunRow> as_far_as_it_came(const PlanHistory& history, PlanRunRow row);
/// Of the chosen cases, those that nothing came of.
[[nodiscard]] std::size_t not_run(const PlanRunRow& row);
Result<SavedRun> load_run(const PlanHistory& history, const PlanRunRow& row);

}  // namespace casemate
