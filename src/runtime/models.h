// models: what a test of pipeline scripts is told and what it tells, as plain data with one JSON form each. See docs/design/runtime.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/outcome.h"
#include "casemate/result.h"
#include "runtime/data_report.h"

namespace casemate::runtime {

using Json = nlohmann::ordered_json;

/// Names and values in the order in which somebody wrote them; names are unique.
using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// How one script is run: a node of a pipeline. JSON: an object with these keys; those at their empty value may be missing.
struct ScriptExecutionSpec {
  std::string script_name;                 ///< without ".py"; never empty
  std::string step_name;                   ///< of the node; "" means the script's name
  std::optional<std::string> script_path;  ///< where it lies, if it shall not be looked for
  NamedTexts input_paths;                  ///< logical name and path, relative ones to the working directory
  NamedTexts output_paths;
  NamedTexts environ_vars;
  Json job_args = Json::object();           ///< becomes an argparse.Namespace
  std::optional<std::string> last_updated;  ///< ISO 8601, set when it is saved
  std::optional<std::string> user_notes;

  /// The step's name, or the script's.
  [[nodiscard]] const std::string& step() const { return step_name.empty() ? script_name : step_name; }
  bool operator==(const ScriptExecutionSpec&) const = default;
};

/// From one step's output to another's input.
struct DataFlowSpec {
  std::string from_step;
  std::string to_step;
  std::optional<std::string> data_path;    ///< the path that both name
  std::optional<std::string> from_output;  ///< logical names, where the path does not say it
  std::optional<std::string> to_input;
  bool operator==(const DataFlowSpec&) const = default;
};

/// A pipeline. JSON: `script_specs` is a list, or an object by node; `data_flow_specs` a list; `dag` {"nodes": [...], "edges": [[a,
/// b]...]}.
struct PipelineTestingSpec {
  std::string pipeline_name;
  std::vector<ScriptExecutionSpec> script_specs;  ///< of an object: step_name is its key, if it had none
  bool by_node = false;                           ///< script_specs was an object, and is written as one
  std::vector<std::string> nodes;                 ///< its keys, one a spec: what edges name; where there are none, each spec's step()
  std::vector<DataFlowSpec> data_flow_specs;
  std::optional<Json> dag;
  std::optional<std::string> test_workspace_root;
  std::optional<std::string> last_updated;
  bool operator==(const PipelineTestingSpec&) const = default;
};

/// How much is told, least important first.
inline constexpr std::string_view kLogLevels[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
/// The place of a level in kLogLevels, in any case; their number if it is none.
[[nodiscard]] std::size_t log_level_rank(std::string_view level);

/// How a tester behaves. JSON: an object with these keys.
struct RuntimeTestingConfiguration {
  std::string workspace_dir = "./test_workspace";
  double timeout_seconds = 300;  ///< of each script; above 0
  bool enable_logging = true;
  std::string log_level = "INFO";  ///< one of kLogLevels, in any case
  bool cleanup_after_test = true;  ///< `{workspace}/test_{name}` goes when its test has ended
  bool preserve_outputs = false;   ///< its output stays
  std::optional<PipelineTestingSpec> pipeline_spec;
  bool test_individual_scripts = true;
  bool test_data_compatibility = true;
  bool test_pipeline_flow = true;
  // Ours.
  std::vector<std::string> script_directories;  ///< looked in before the usual ones
  std::optional<std::uint64_t> memory_bytes;    ///< of each script; default 4 GiB
  std::optional<std::string> python;            ///< an interpreter, in place of the active one
  std::optional<std::string> requirements;      ///< a requirements file, in place of the interpreter's own packages
  std::optional<std::string> image;             ///< an OCI image, in place of the host
  unsigned slots = 0;                           ///< scripts at a time; 0: the CPUs this process may use
  bool operator==(const RuntimeTestingConfiguration&) const = default;
};

/// What main() is called with.
struct MainParameters {
  NamedTexts input_paths;
  NamedTexts output_paths;
  NamedTexts environ_vars;
  Json job_args = Json::object();
  bool operator==(const MainParameters&) const = default;
};

/// How a script's test came out. JSON: all of it.
struct ScriptTestResult {
  std::string script_name;
  bool success = false;
  double execution_time = 0;  ///< seconds, of the script alone
  bool has_main_function = false;
  std::optional<std::string> error_message;
  std::string step_name;               ///< "" but in a pipeline
  std::optional<std::string> skipped;  ///< why it did not run: "step 'a' failed"
  std::string traceback;               ///< as Python prints it, without our frames; "" if nothing was raised
  std::string standard_output;         ///< bounded: the first and last parts
  std::string standard_error;
  Outcome outcome;  ///< of the process
  std::optional<std::uint64_t> peak_memory_bytes;
  std::vector<std::string> outputs;  ///< paths of files that it wrote below its output paths, at most 1,000
  std::vector<std::string> notes;    ///< what fell back, what was left running, what was written elsewhere
};

/// Whether what A writes is what B can read.
struct DataCompatibilityResult {
  std::string script_a;
  std::string script_b;
  bool compatible = false;
  std::optional<std::string> data_format_a;  ///< of what A wrote: "CSV"
  std::optional<std::string> data_format_b;  ///< of what B takes
  std::vector<std::string> compatibility_issues;
  std::vector<DataReport> data_a;                      ///< what A wrote
  std::vector<DataReport> data_b;                      ///< what B is known to take
  std::optional<ScriptTestResult> result_a, result_b;  ///< those that ran
};

/// How a pipeline came out.
struct PipelineResult {
  bool pipeline_success = false;
  std::vector<std::pair<std::string, ScriptTestResult>> script_results;            ///< by step, in the pipeline's order
  std::vector<std::pair<std::string, DataCompatibilityResult>> data_flow_results;  ///< by "a->b"
  std::vector<std::string> errors;
};

/// Each reads its JSON form; invalid_input names the key and what it should be ("script_name: must be a text that is not empty"). Keys that
/// are not known are passed over.
Result<ScriptExecutionSpec> script_spec_from(const Json& json);
Result<PipelineTestingSpec> pipeline_spec_from(const Json& json);
Result<RuntimeTestingConfiguration> configuration_from(const Json& json);
Result<MainParameters> main_parameters_from(const Json& json);
/// Results that to_json() made, kept by somebody and given back; what is missing is as in a new one. Not UTF-8: refused as above.
Result<ScriptTestResult> script_result_from(const Json& json);
Result<DataCompatibilityResult> compatibility_result_from(const Json& json);

[[nodiscard]] Json to_json(const ScriptExecutionSpec& spec);
[[nodiscard]] Json to_json(const PipelineTestingSpec& spec);
[[nodiscard]] Json to_json(const RuntimeTestingConfiguration& configuration);
[[nodiscard]] Json to_json(const MainParameters& parameters);
[[nodiscard]] Json to_json(const ScriptTestResult& result);
[[nodiscard]] Json to_json(const DataCompatibilityResult& result);
[[nodiscard]] Json to_json(const PipelineResult& result);

}  // namespace casemate::runtime
