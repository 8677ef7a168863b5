// known_keys: keys of a user's file that mean nothing here, and look like one that does.
#pragma once

#include <string>
#include <vector>

#include "runtime/models.h"

namespace casemate::runtime {

/// Of a pipeline, in any of graph_from()'s forms: lines like "steps.training: unknown key 'environ_var', did you mean 'environ_vars'?", at
/// most 20. Keys that are near to none are other tools' and passed over, and so is what has another type than it should.
[[nodiscard]] std::vector<std::string> misspelled_pipeline_keys(const Json& configuration);
/// The same of a ScriptExecutionSpec; no place before it.
[[nodiscard]] std::vector<std::string> misspelled_spec_keys(const Json& spec);

}  // namespace casemate::runtime
