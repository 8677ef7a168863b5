// suite_inputs: all that the results of a container's tests depend on, if they are deterministic.
#pragma once

#include <string>
#include <vector>

#include "action/input_trees.h"
#include "action/job_inputs.h"
#include "casemate/result.h"
#include "session/furnishing.h"
#include "session/request.h"

namespace casemate {

/// Of a project does not count: version control's own (.git), what tools keep for themselves (__pycache__, .pytest_cache, ...), and the
/// reports that the run itself writes.
[[nodiscard]] InputFilter suite_filter(const PytestRequest& request);

/// What a job that runs tests of `furnishing` would depend on (action/job_inputs.h), with pytest's arguments but for those that only select
/// tests or say what reports look like, and with the engine that the tests run on. `trees` are made with suite_filter().
Result<JobInputs> suite_inputs(const Furnishing& furnishing, const PytestRequest& request, InputTrees& trees);

/// pytest's arguments that count: not -k, -m, paths, --deselect, --ignore, -v, --tb and the like.
[[nodiscard]] std::vector<std::string> counting_arguments(const std::vector<std::string>& arguments, const std::string& directory);

}  // namespace casemate
