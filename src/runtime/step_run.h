// step_run: runs the steps of a pipeline, each once, as soon as all that it takes data from has ended well.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "runtime/models.h"
#include "runtime/pipeline_graph.h"
#include "runtime/script_cells.h"

namespace casemate::runtime {

/// Called a few times a second while somebody waits; true: it is given up, and ends as cancelled.
using Interrupted = std::function<bool()>;

/// Steps to run. `parameters` and `scripts` have an entry a step; of inputs that a step takes from another one the paths become those that
/// the other one wrote to.
struct StepsRequest {
  const PipelineGraph& graph;
  std::vector<MainParameters> parameters;
  std::vector<Result<std::string>> scripts;  ///< their paths; where there is none the step fails with the error's words
  std::chrono::milliseconds timeout{0};
  bool inspect = true;                                 ///< what steps wrote for others is looked at
  bool inspect_known = false;                          ///< so are the own inputs of steps that succeed
  std::function<void(const ScriptTestResult&)> ended;  ///< hears each step; may be empty
};

/// How they came out, an entry a step.
struct StepsResult {
  std::vector<ScriptTestResult> results;         ///< `skipped` is set of those that did not run
  std::vector<std::vector<DataReport>> written;  ///< by steps that ended well and have others after them
  /// Of steps that failed: their own inputs that another step's data stood in for, but for those whose look was ended (kLookEnded).
  std::vector<std::vector<DataReport>> known;
};

/// Blocks until all have ended. Errors are of this host; what scripts do wrong is in the results. cancelled: `interrupted` said so, and
/// nothing of this run runs any more; other runs of `cells` go on.
Result<StepsResult> run_steps(ScriptCells& cells, StepsRequest request, const Interrupted& interrupted);

}  // namespace casemate::runtime
