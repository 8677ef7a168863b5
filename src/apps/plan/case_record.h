// case_record: what came of a case as the database keeps it, exact enough to go on from (--resume), to compare with (verify), and to write
// every report anew (export).
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "store/plan_history.h"
#include "testplan/models.h"

namespace casemate {

/// A row with what belongs to it.
struct CaseRecord {
  PlanCaseRow row;
  std::vector<PlanArtifact> artifacts;
};

/// Small outputs are in the row, others are kept as artifacts. Bytes that are no UTF-8 in paths and values become U+FFFD.
Result<CaseRecord> record_of(const PlanCase& one, const CaseResult& result, PlanHistory& history);
/// The reverse. corrupt: somebody changed it; not_found: an artifact was pruned.
Result<CaseResult> case_of(const PlanCaseRow& row, const PlanHistory& history);

/// What a run has beside its cases.
struct PlanRemainder {
  std::vector<StepResult> setup, teardown;
  std::string problem, image_digest, version, strategy;
  std::vector<std::string> notes;
  bool cached = false;  ///< nothing was installed
  std::string install_log;
};
/// The id of the row that has it: no case has none.
inline constexpr const char* kRemainderId = "";
/// `plan`: digest of the plan's text, which is kept with it.
Result<CaseRecord> record_of(const PlanRemainder& remainder, const std::string& plan, const TestPlan& read, PlanHistory& history);
Result<PlanRemainder> remainder_of(const PlanCaseRow& row, const PlanHistory& history);

}  // namespace casemate
