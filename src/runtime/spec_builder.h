// spec_builder: specs made from a pipeline's description, and looked at before anything runs.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// A spec with default paths below `test_data_dir`: data_input `{dir}/{script}/input`, data_output `{dir}/{script}/output`,
/// LABEL_FIELD=label, job_type=testing.
[[nodiscard]] ScriptExecutionSpec default_spec(const std::string& script_name, const std::string& step_name = "",
                                               const std::string& test_data_dir = "test/integration/runtime");

/// One a step, in the pipeline's order; what a step does not say comes from its saved spec in `specs_directory` (if any), else from
/// default_spec().
Result<std::vector<ScriptExecutionSpec>> specs_from_dag(const Json& dag, const std::string& specs_directory,
                                                        const std::string& test_data_dir);
Result<PipelineTestingSpec> pipeline_from_dag(const std::string& name, const Json& dag, const std::string& specs_directory,
                                              const std::string& test_data_dir);

/// What is wrong with a spec, a line each: names, paths that are the same for input and output, inputs that do not exist, a script that is
/// not there. Nothing: it is valid.
[[nodiscard]] std::vector<std::string> problems_of(const ScriptExecutionSpec& spec, const std::vector<std::string>& script_directories);

/// What main() gets: the spec's own; LABEL_FIELD=label where it has no variables at all, job_type=testing where it has no arguments.
[[nodiscard]] MainParameters main_parameters(const ScriptExecutionSpec& spec);

/// The spec of `specs` that a step's name means: equal to its step's or its script's, else equal but for case, '-' and '_', else the only
/// one that contains it; nullptr.
[[nodiscard]] const ScriptExecutionSpec* match_step(const std::string& step, const std::vector<ScriptExecutionSpec>& specs);

}  // namespace casemate::runtime
