// tester: the six operations of the runtime tester, each to be called from any thread, and blocking.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "casemate/result.h"
#include "runtime/models.h"
#include "runtime/step_run.h"
#include "runtime/workspace.h"

namespace casemate::runtime {

/// What a tester says while it works: DEBUG, INFO, ... and a line.
using Log = std::function<void(const char* level, const std::string& line)>;

/// See the members. What a script does wrong is a result; an Error is what the caller or this host does (no such script, a workspace that
/// can't be written, no cells).
class RuntimeTester {
 public:
  /// Makes the workspace; starts nothing until there is something to run.
  static Result<std::unique_ptr<RuntimeTester>> create(RuntimeTestingConfiguration configuration, Log log = {},
                                                       Interrupted interrupted = {});
  virtual ~RuntimeTester() = default;

  /// With sample data in a directory of the workspace. not_found: "Script not found: NAME (looked in ...)".
  virtual Result<ScriptTestResult> test_script(const std::string& name, const Json& sample) = 0;
  virtual Result<ScriptTestResult> test_script_with_spec(const ScriptExecutionSpec& spec, const MainParameters& parameters) = 0;
  /// A with `sample`, B with what A wrote.
  virtual Result<DataCompatibilityResult> test_data_compatibility(const std::string& a, const std::string& b, const Json& sample) = 0;
  virtual Result<DataCompatibilityResult> test_data_compatibility_with_specs(const ScriptExecutionSpec& a, const ScriptExecutionSpec& b,
                                                                             const MainParameters& parameters_a,
                                                                             const MainParameters& parameters_b) = 0;
  /// A configuration that can't be a pipeline is a result with the reason in `errors`.
  virtual Result<PipelineResult> test_pipeline_flow(const Json& configuration) = 0;
  virtual Result<PipelineResult> test_pipeline_flow_with_spec(const PipelineTestingSpec& spec) = 0;

  virtual Result<std::string> find_script_path(const std::string& name) = 0;
  /// Makes `{workspace}/test_{name}` anew, with sample data in its input.
  virtual Result<TestEnvironment> setup_test_environment(const std::string& name) = 0;
  /// Removes a directory of the workspace; refused for one that lies elsewhere.
  virtual Result<void> cleanup_test_environment(const std::string& test_dir) = 0;
  [[nodiscard]] virtual const RuntimeTestingConfiguration& configuration() const = 0;
  /// Ends what runs, in whichever thread, and whatever runs later: each as an Error, `cancelled`. Returns at once.
  virtual void cancel() = 0;
};

/// For people, as the command line prints it and Python's __str__ gives it; no newline at the end. `colors`: the word of how it came out is
/// green or red.
[[nodiscard]] std::string script_text(const ScriptTestResult& result, bool colors = false);
[[nodiscard]] std::string compatibility_text(const DataCompatibilityResult& result, bool colors = false);
[[nodiscard]] std::string pipeline_text(const PipelineResult& result, bool colors = false);
/// Both schemas of each pair of data, and what differs.
[[nodiscard]] std::string explanation(const DataCompatibilityResult& result);

}  // namespace casemate::runtime
