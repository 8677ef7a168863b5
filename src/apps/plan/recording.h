// recording: what commands once did, kept as what they are to do: written into a plan, and compared with.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "apps/plan/saved_run.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "testplan/comparison.h"
#include "testplan/models.h"
#include "testplan/normalisation.h"

namespace casemate {

/// What one command came to.
struct RecordedStep {
  std::optional<int> exit_code;
  std::string out, err;              ///< raw
  std::optional<std::string> files;  ///< files_text(); nullopt: the recording doesn't say
};

/// A line for each file that a command created, modified or removed ("created file /app/x"), sorted. Directories in which something merely
/// changed are left out.
[[nodiscard]] std::string files_text(const std::vector<Change>& changes);

/// By case id, then by step id; "" is the case's own command.
struct Recording {
  std::string name;  ///< for people
  std::map<std::string, std::map<std::string, RecordedStep>> cases;
};

[[nodiscard]] Recording recording_of(const SavedRun& run);
/// Of the plan at `path` (absolute): its newest recording, and of cases of `plan` that are not in that the newest one that has them.
/// not_found: there is none.
Result<Recording> newest_recording(const PlanHistory& history, const std::string& path, const TestPlan& plan);
/// A results file (docs/schema/plan-results.schema.json). invalid_input: it is none.
Result<Recording> read_recording(const std::string& path);

/// A plan that expects nothing: whatever its commands come to passes, but time-outs and limits.
[[nodiscard]] TestPlan without_expectations(TestPlan plan);

/// Sets status and reason of a case that ran from what was recorded of it: the same steps, exit status, outputs, and which files were
/// changed, not what is in them (json: by their names exactly); of a service the exit status. Gives the differences, for people. Outcomes
/// that are errors stay.
std::string compare_case(const PlanCase& one, const Recording& recording, CompareMode mode, const Normaliser& normaliser,
                         CaseResult& result);

/// A line for each recorded case that the plan has no more.
[[nodiscard]] std::vector<std::string> gone_cases(const TestPlan& plan, const Recording& recording);

/// What a plan says of how its outputs are compared: `execution.compare`, or `compare`; unset: nothing, or nothing that we know.
[[nodiscard]] std::optional<CompareMode> compare_mode(const nlohmann::ordered_json& document);

/// Puts the exit status and the lines that will come again (those that normalisation leaves as they are) of each case that passed into the
/// document, as what is expected. Notes say what could not be.
std::vector<std::string> write_recording(const TestPlan& plan, const PlanResult& result, const Normaliser& normaliser,
                                         nlohmann::ordered_json& document);

}  // namespace casemate
