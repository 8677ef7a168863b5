// job_action: a job as an action: its input root, the order for its witness, the Command and the Action.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "action/input_trees.h"
#include "action/messages.h"
#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// What of an engine an action depends on.
struct ActionSetting {
  PlatformProperties properties;
  /// An image is the property container-image (Job::image, for engines that run containers) and not the input root.
  bool image_as_property = false;
  /// Outputs are named by kind too, for engines before REAPI 2.1, which don't know of one list of both; later ones want that alone.
  bool outputs_by_kind = false;
  std::string witness;  ///< host path of casemate-witness
  /// How much longer than the job's own limit on its time an action may take: for what the witness does before and after.
  std::chrono::milliseconds margin{std::chrono::minutes(2)};
};

/// All that an engine is told. Its blobs are those of the root's tree and the two messages.
struct JobAction {
  InputDirectoryPtr root;
  Blob command, action;
  std::vector<std::string> notes;  ///< what falls back, as Plan::notes
  /// Of Job::collect: host directories that were there before the job, topmost first.
  std::vector<std::vector<std::string>> collected_lower;
};

/// Whether an action can be what the job asks for. Pure. invalid_input: the job makes no sense; not_supported: nobody can hold or show
/// that there; it says which flag to leave out.
Result<void> check_action_job(const Job& job, const ActionSetting& setting);

/// The job as an action: the same job is the same bytes on every machine, if its files are the same. `input` is what it reads on stdin.
/// Reads the files that it sends. Errors also as those of InputTrees.
Result<JobAction> job_action(const Job& job, const ActionSetting& setting, InputTrees& trees, const std::optional<std::string>& input);

}  // namespace casemate
