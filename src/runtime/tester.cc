#include "runtime/tester.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "runtime/data_flow.h"
#include "runtime/known_keys.h"
#include "runtime/pipeline_graph.h"
#include "runtime/sample_data.h"
#include "runtime/script_path.h"
#include "runtime/spec_builder.h"
#include "runtime/test_claims.h"
#include "runtime/written_path.h"

namespace casemate::runtime {
namespace {

using std::chrono::milliseconds;

ScriptExecutionSpec named(const std::string& script, const std::string& step) {
  ScriptExecutionSpec spec;
  spec.script_name = bare_script_name(script);
  spec.step_name = step;
  return spec;
}

class Tester final : public RuntimeTester {
 public:
  Tester(RuntimeTestingConfiguration configuration, Workspace workspace, Log log, Interrupted interrupted)
      : configuration_(std::move(configuration)),
        workspace_(std::move(workspace)),
        least_level_(log_level_rank(configuration_.log_level)),
        log_(std::move(log)),
        interrupted_(std::move(interrupted)) {}

  Result<ScriptTestResult> test_script(const std::string& name, const Json& sample) override {
    TRY_ASSIGN(const std::string path, find_script_path(name));
    TRY_ASSIGN(const TestClaim claim, claim_tests({bare_script_name(name)}));
    TRY_ASSIGN(TestEnvironment environment, workspace_.make_test(bare_script_name(name), sample));
    auto result = run_one(named(name, ""), path, std::move(environment.parameters));
    return cleaned_up(std::move(result), {environment.test_dir});
  }

  Result<ScriptTestResult> test_script_with_spec(const ScriptExecutionSpec& spec, const MainParameters& parameters) override {
    TRY_ASSIGN(const std::string path, path_of(spec));
    return run_one(spec, path, parameters);
  }

  Result<DataCompatibilityResult> test_data_compatibility(const std::string& a, const std::string& b, const Json& sample) override {
    TRY(check_sample(sample));
    Pair pair{named(a, ""), named(b, ""), {}, {}};
    const std::string name_b = pair.b.script_name + (pair.a.script_name == pair.b.script_name ? "_b" : "");
    TRY_ASSIGN(const TestClaim claim, claim_tests({pair.a.script_name, name_b}));
    TRY_ASSIGN(const TestEnvironment environment_a, workspace_.make_test(pair.a.script_name, sample));
    TRY_ASSIGN(const TestEnvironment environment_b, workspace_.make_test(name_b, sample));
    pair.parameters_a = environment_a.parameters;
    pair.parameters_b = environment_b.parameters;
    return cleaned_up(compare(pair), {environment_a.test_dir, environment_b.test_dir});
  }

  Result<DataCompatibilityResult> test_data_compatibility_with_specs(const ScriptExecutionSpec& a, const ScriptExecutionSpec& b,
                                                                     const MainParameters& parameters_a,
                                                                     const MainParameters& parameters_b) override {
    return compare({a, b, parameters_a, parameters_b});
  }

  Result<PipelineResult> test_pipeline_flow(const Json& configuration) override {
    for (const std::string& line : misspelled_pipeline_keys(configuration)) log("WARNING", line);
    return test_graph(graph_from(configuration));
  }
  Result<PipelineResult> test_pipeline_flow_with_spec(const PipelineTestingSpec& spec) override { return test_graph(graph_from(spec)); }

  Result<std::string> find_script_path(const std::string& name) override { return find_script(name, configuration_.script_directories); }
  Result<TestEnvironment> setup_test_environment(const std::string& name) override {
    TRY_ASSIGN(const TestClaim claim, claim_tests({name}));
    return workspace_.make_test(name, default_sample());
  }
  Result<void> cleanup_test_environment(const std::string& test_dir) override {
    TRY_ASSIGN(const TestClaim claim, claim_directories({last_part(lexical_path(test_dir, working_directory()))}));
    return workspace_.remove_test(test_dir);
  }
  [[nodiscard]] const RuntimeTestingConfiguration& configuration() const override { return configuration_; }
  void cancel() override { cancelled_ = true; }

 private:
  struct Pair {
    ScriptExecutionSpec a, b;
    MainParameters parameters_a, parameters_b;
  };

  void log(const char* level, const std::string& line) const {
    if (log_ && configuration_.enable_logging && log_level_rank(level) >= least_level_) log_(level, line);
  }

  [[nodiscard]] milliseconds timeout() const {
    return milliseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(configuration_.timeout_seconds * 1000)));
  }

  // Held from before a test's directory is made until it has gone.
  Result<TestClaim> claim_tests(const std::vector<std::string>& names) {
    std::vector<std::string> directories;
    directories.reserve(names.size());
    for (const std::string& name : names) directories.push_back(Workspace::directory_name(name));
    return claim_directories(directories);
  }
  Result<TestClaim> claim_directories(const std::vector<std::string>& directories) {
    ClaimPatience patience;
    patience.tell = [this](const std::string& line) { log("WARNING", line); };
    patience.interrupted = [this] { return is_interrupted(); };
    return claims_.claim(workspace_.directory(), directories, patience);
  }

  [[nodiscard]] bool is_interrupted() const { return cancelled_ || (interrupted_ && interrupted_()); }

  // Interpreters and cells are for who runs something.
  Result<ScriptCells*> cells() {
    const std::lock_guard lock(mutex_);
    if (!cells_) {
      const auto progress = [this](std::string_view line) { log("INFO", std::string(line)); };
      TRY_ASSIGN(cells_, ScriptCells::create(configuration_, progress));
    }
    return cells_.get();
  }

  Result<std::string> path_of(const ScriptExecutionSpec& spec) {
    return spec.script_path ? Result<std::string>(*spec.script_path) : find_script_path(spec.script_name);
  }

  // What a test came to, an interruption too, when its directories are gone.
  template <class T>
  Result<T> cleaned_up(Result<T>&& result, const std::vector<std::string>& test_directories) {
    if (!configuration_.cleanup_after_test) return std::move(result);
    for (const std::string& directory : test_directories) {
      if (auto removed = workspace_.remove_test(directory, configuration_.preserve_outputs); !removed && result)
        return std::unexpected(std::move(removed).error());
    }
    return std::move(result);
  }

  StepsRequest request_for(const PipelineGraph& graph) {
    StepsRequest request{.graph = graph};
    request.timeout = timeout();
    request.ended = [this](const ScriptTestResult& result) {
      const std::string name = printable_name(result.step_name.empty() ? result.script_name : result.step_name);
      if (result.success) return log("INFO", fmt::format("{}: passed in {:.3f}s", name, result.execution_time));
      log("INFO", fmt::format("{}: {}", name, printable_name(result.error_message.value_or("failed"))));
      if (!result.traceback.empty()) log("DEBUG", result.traceback);
    };
    return request;
  }

  Result<StepsResult> run(StepsRequest request) {
    if (cancelled_) return fail(ErrorCode::cancelled, "the tester was cancelled");
    TRY_ASSIGN(ScriptCells * cells, this->cells());
    return run_steps(*cells, std::move(request), [this] { return is_interrupted(); });
  }

  Result<ScriptTestResult> run_one(const ScriptExecutionSpec& spec, const std::string& path, MainParameters parameters) {
    PipelineGraph graph;
    graph.steps.push_back({spec, {}});
    StepsRequest request = request_for(graph);
    request.parameters = {std::move(parameters)};
    request.scripts = {path};
    request.inspect = false;
    log("DEBUG", fmt::format("{}: runs {}", printable_name(spec.step()), printable_name(path)));
    TRY_ASSIGN(StepsResult ran, run(std::move(request)));
    ScriptTestResult result = std::move(ran.results[0]);
    result.step_name = spec.step_name;
    return result;
  }

  Result<DataCompatibilityResult> compare(const Pair& pair) {
    PipelineGraph graph;
    graph.steps.push_back({pair.a, {}});
    graph.steps.push_back({pair.b, {0}});
    graph.edges.push_back({.from = 0, .to = 1});
    StepsRequest request = request_for(graph);
    request.inspect_known = true;  // explanation() shows both
    request.parameters = {pair.parameters_a, pair.parameters_b};
    for (const auto* spec : {&pair.a, &pair.b}) {
      TRY_ASSIGN(std::string path, path_of(*spec));
      request.scripts.emplace_back(std::move(path));
    }
    TRY_ASSIGN(StepsResult ran, run(std::move(request)));
    return verdict(ran, 0, 1);
  }

  static DataCompatibilityResult verdict(const StepsResult& ran, std::size_t a, std::size_t b) {
    const std::optional<std::string>& skipped = ran.results[b].skipped;
    DataCompatibilityResult judged =
        judge(ran.results[a], skipped ? std::nullopt : std::optional(ran.results[b]), ran.written[a], ran.known[b]);
    judged.script_b = ran.results[b].script_name;
    if (skipped && judged.compatibility_issues.empty()) judged.compatibility_issues.push_back("Script B did not run: " + *skipped);
    return judged;
  }

  static bool needs_directory(const MainParameters& said) { return said.input_paths.empty() || said.output_paths.empty(); }

  // What a step does not say: data of its own in the workspace for a first one, and a place to write to.
  Result<MainParameters> parameters_of(const PipelineStep& step, std::vector<std::string>& directories) {
    MainParameters parameters = main_parameters(step.spec);
    if (!needs_directory(parameters)) return parameters;
    const bool is_first = step.after.empty() && parameters.input_paths.empty();
    TRY_ASSIGN(const TestEnvironment environment, workspace_.make_test(step.spec.step(), is_first ? default_sample() : Json()));
    directories.push_back(environment.test_dir);
    if (is_first) parameters.input_paths = environment.parameters.input_paths;
    if (parameters.output_paths.empty()) parameters.output_paths = environment.parameters.output_paths;
    return parameters;
  }

  Result<PipelineResult> test_graph(Result<PipelineGraph> read) {
    PipelineResult result;
    if (!read) {
      if (read.error().code != ErrorCode::invalid_input) return std::unexpected(std::move(read.error()));
      result.errors.push_back(std::move(read.error().what));
      log("ERROR", result.errors.back());
      return result;
    }
    std::vector<std::string> own;
    for (const PipelineStep& step : read->steps) {
      if (needs_directory(main_parameters(step.spec))) own.push_back(step.spec.step());
    }
    TRY_ASSIGN(const TestClaim claim, claim_tests(own));
    std::vector<std::string> directories;
    auto tested = test_steps(*read, directories);
    return cleaned_up(std::move(tested), directories);
  }

  Result<PipelineResult> test_steps(const PipelineGraph& graph, std::vector<std::string>& directories) {
    StepsRequest request = request_for(graph);
    for (const PipelineStep& step : graph.steps) {
      TRY_ASSIGN(MainParameters parameters, parameters_of(step, directories));
      request.parameters.push_back(std::move(parameters));
      request.scripts.push_back(path_of(step.spec));
    }
    request.inspect = configuration_.test_data_compatibility;
    TRY_ASSIGN(const StepsResult ran, run(std::move(request)));
    PipelineResult result;
    tell(graph, ran, result);
    return result;
  }

  void tell(const PipelineGraph& graph, const StepsResult& ran, PipelineResult& result) const {
    for (std::size_t step = 0; step < graph.steps.size(); ++step) {
      const std::string& name = graph.steps[step].spec.step();
      const ScriptTestResult& one = ran.results[step];
      if (!one.success)
        result.errors.push_back(one.skipped ? fmt::format("Step {} was skipped: {}", name, *one.skipped)
                                            : fmt::format("Step {} failed: {}", name, one.error_message.value_or("")));
      result.script_results.emplace_back(name, one);
    }
    const PipelineEdge* before = nullptr;
    for (const PipelineEdge& edge : graph.edges) {
      if (!configuration_.test_data_compatibility) break;
      const PipelineEdge* last = std::exchange(before, &edge);
      if (last && last->from == edge.from && last->to == edge.to) continue;  // other data between the same two
      std::string flow = graph.steps[edge.from].spec.step() + "->" + graph.steps[edge.to].spec.step();
      DataCompatibilityResult judged = verdict(ran, edge.from, edge.to);
      // What a script did wrong has been said; that nothing came to the next one has not.
      if (!judged.compatible && ran.results[edge.from].success && ran.results[edge.to].success)
        for (const std::string& issue : judged.compatibility_issues) result.errors.push_back(fmt::format("Data flow {}: {}", flow, issue));
      result.data_flow_results.emplace_back(std::move(flow), std::move(judged));
    }
    result.pipeline_success = result.errors.empty();
  }

  RuntimeTestingConfiguration configuration_;
  Workspace workspace_;
  TestClaims claims_;
  std::size_t least_level_;
  Log log_;
  Interrupted interrupted_;
  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;
  std::unique_ptr<ScriptCells> cells_;
};

}  // namespace

Result<std::unique_ptr<RuntimeTester>> RuntimeTester::create(RuntimeTestingConfiguration configuration, Log log, Interrupted interrupted) {
  TRY_ASSIGN(Workspace workspace, Workspace::open(configuration.workspace_dir));
  return std::make_unique<Tester>(std::move(configuration), std::move(workspace), std::move(log), std::move(interrupted));
}

}  // namespace casemate::runtime
