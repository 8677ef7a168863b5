// spec_file: specs on disk, one file each, so that people can read, keep and change them.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// Lines about keys of files.
using UnknownKeys = std::vector<std::string>;

/// `{directory}/{name}_runtime_test_spec.json`. invalid_input for a name with a slash or NUL.
Result<std::string> script_spec_path(const std::string& name, const std::string& directory);
/// `{directory}/{name}_pipeline_test_spec.json`.
Result<std::string> pipeline_spec_path(const std::string& name, const std::string& directory);

/// Writes a spec (indent 2, last_updated now), whole or not at all; makes the directory. Gives the path.
Result<std::string> save(ScriptExecutionSpec& spec, const std::string& directory);
Result<std::string> save(PipelineTestingSpec& spec, const std::string& directory);

/// not_found: "ScriptExecutionSpec file not found: PATH"; invalid_input names the file and what is wrong, with line and column of bad JSON.
/// At most 16 MiB.
/// `unknown` gets misspelled_spec_keys() of the file, its name before each.
Result<ScriptExecutionSpec> read_script_spec(const std::string& path, UnknownKeys* unknown = nullptr);
Result<ScriptExecutionSpec> load_script_spec(const std::string& name, const std::string& directory, UnknownKeys* unknown = nullptr);
Result<PipelineTestingSpec> load_pipeline_spec(const std::string& name, const std::string& directory);

/// Names of the scripts that have a spec there, sorted; none if there is no such directory.
Result<std::vector<std::string>> saved_script_specs(const std::string& directory);

/// What is wrong with what was read from `path`: the same error, with the file's name before it.
[[nodiscard]] Error in_file(const std::string& path, Error problem);

/// Any JSON document of a user's: what is wrong with it is told with the file's name, line and column. At most 64 MiB.
Result<Json> read_document(const std::string& path);

}  // namespace casemate::runtime
