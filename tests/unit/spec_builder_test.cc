// Specs from a pipeline's description, and what is wrong with one before it runs.
#include "runtime/spec_builder.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "runtime/pipeline_graph.h"
#include "runtime/spec_file.h"

namespace casemate::runtime {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class SpecBuilder : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-builder-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string make(const std::string& name) const {
    std::ofstream file(directory_ + "/" + name);
    return directory_ + "/" + name;
  }
  std::string directory_;
};

TEST_F(SpecBuilder, a_default_spec_is_the_documented_one) {
  EXPECT_EQ(default_spec("x"), (ScriptExecutionSpec{.script_name = "x",
                                                    .step_name = "x",
                                                    .input_paths = {{"data_input", "test/integration/runtime/x/input"}},
                                                    .output_paths = {{"data_output", "test/integration/runtime/x/output"}},
                                                    .environ_vars = {{"LABEL_FIELD", "label"}},
                                                    .job_args = {{"job_type", "testing"}}}));
  EXPECT_EQ(default_spec("x", "s", "d").step_name, "s");
  EXPECT_EQ(default_spec("x", "s", "d").input_paths.front().second, "d/x/input");
}

TEST_F(SpecBuilder, what_a_step_does_not_say_comes_from_its_saved_spec_or_the_defaults) {
  ScriptExecutionSpec saved{.script_name = "b", .input_paths = {{"i", "kept"}}, .environ_vars = {{"E", "1"}}, .user_notes = "mine"};
  ASSERT_TRUE(save(saved, directory_));
  const Json dag =
      Json::parse(R"({"steps":{"a":{"script":"a.py","inputs":{"data":"raw.csv"}},"two":{"script":"b","environ_vars":{"F":"2"}}}})");
  const auto specs = specs_from_dag(dag, directory_, "d");
  ASSERT_TRUE(specs) << specs.error().what;
  ASSERT_EQ(specs->size(), 2u);
  EXPECT_EQ((*specs)[0], (ScriptExecutionSpec{.script_name = "a",
                                              .step_name = "a",
                                              .input_paths = {{"data", "raw.csv"}},
                                              .output_paths = {{"data_output", "d/a/output"}},
                                              .environ_vars = {{"LABEL_FIELD", "label"}},
                                              .job_args = {{"job_type", "testing"}}}));
  EXPECT_EQ((*specs)[1], (ScriptExecutionSpec{.script_name = "b",
                                              .step_name = "two",
                                              .input_paths = {{"i", "kept"}},
                                              .output_paths = {{"data_output", "d/b/output"}},
                                              .environ_vars = {{"F", "2"}},
                                              .job_args = {{"job_type", "testing"}},
                                              .user_notes = "mine"}));
  std::ofstream(directory_ + "/b_runtime_test_spec.json") << "{";
  EXPECT_FALSE(specs_from_dag(dag, directory_, "d"));
  EXPECT_EQ(specs_from_dag(Json::object(), "", "d").error().what, "No steps found in pipeline configuration");
}

TEST_F(SpecBuilder, a_pipelines_spec_is_the_same_graph) {
  const Json dag = Json::parse(R"({"steps":{"c":{"depends_on":["a","b"]},"a":{"outputs":{"o":"w/a"}},"b":{"inputs":{"i":"w/a"}}}})");
  const auto pipeline = pipeline_from_dag("p", dag, "", "d");
  ASSERT_TRUE(pipeline) << pipeline.error().what;
  EXPECT_EQ(pipeline->pipeline_name, "p");
  EXPECT_EQ(pipeline->dag, Json::parse(R"({"nodes":["a","b","c"],"edges":[["a","b"],["a","c"],["b","c"]]})"));
  EXPECT_EQ(pipeline->data_flow_specs[0],
            (DataFlowSpec{.from_step = "a", .to_step = "b", .data_path = "w/a", .from_output = "o", .to_input = "i"}));
  const auto graph = graph_from(*pipeline);
  ASSERT_TRUE(graph) << graph.error().what;
  EXPECT_EQ(graph->steps[2].after, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(graph->edges.size(), 3u);
}

TEST_F(SpecBuilder, a_spec_that_can_run_has_no_problems) {
  make("x.py");
  EXPECT_EQ(problems_of({.script_name = "x", .input_paths = {{"i", make("data.csv")}}, .output_paths = {{"o", directory_ + "/out"}}},
                        {directory_}),
            Texts{});
  EXPECT_EQ(problems_of({.script_name = "y", .script_path = directory_ + "/x.py"}, {}), Texts{});
}

TEST_F(SpecBuilder, each_problem_is_a_line) {
  make("tabular.py");
  const std::string data = make("data");
  EXPECT_EQ(
      problems_of(
          {.script_name = "tabulra", .input_paths = {{"i", data}, {"j", "nothing"}}, .output_paths = {{"o", data}, {"p", data + "/"}}},
          {directory_}),
      (Texts{"input_paths.j: nothing does not exist", "output_paths.p: the same path as output 'o'",
             "input_paths.i: the same path as output 'o'",
             "Script not found: tabulra, did you mean 'tabular'? (looked in " + directory_ +
                 ", src/cursus/steps/scripts, scripts, dockers/xgboost_atoz/scripts)"}));
  EXPECT_EQ(
      problems_of({.script_name = "a/b", .input_paths = {{"", "\xff"}}, .environ_vars = {{"A=B", ""}}, .job_args = Json::array()}, {}),
      (Texts{"script_name: has a slash in it; a file goes into script_path", "input_paths has a name that is empty",
             "input_paths.: must be UTF-8", "environ_vars.A=B: a variable's name can't have '=' in it",
             "job_args: must be an object, is a list"}));
  EXPECT_EQ(problems_of({.script_name = "x", .script_path = directory_}, {}), (Texts{"script_path: " + directory_ + " is no file"}));
  EXPECT_EQ(problems_of({}, {}), Texts{"script_name: must not be empty"});
}

TEST_F(SpecBuilder, parameters_are_the_specs_own) {
  const ScriptExecutionSpec spec{.script_name = "x", .input_paths = {{"i", "a"}}, .environ_vars = {{"E", "1"}}};
  EXPECT_EQ(main_parameters(spec),
            (MainParameters{.input_paths = {{"i", "a"}}, .environ_vars = {{"E", "1"}}, .job_args = {{"job_type", "testing"}}}));
  EXPECT_EQ(main_parameters({.script_name = "x", .job_args = {{"n", 1}}}),
            (MainParameters{.environ_vars = {{"LABEL_FIELD", "label"}}, .job_args = {{"n", 1}}}));
}

TEST_F(SpecBuilder, a_step_is_matched_by_its_name) {
  const std::vector<ScriptExecutionSpec> specs = {{.script_name = "tabular_preprocessing", .step_name = "pre"},
                                                  {.script_name = "xgboost_training"},
                                                  {.script_name = "xgboost_evaluation"}};
  EXPECT_EQ(match_step("pre", specs), &specs[0]);
  EXPECT_EQ(match_step("tabular_preprocessing", specs), &specs[0]);
  EXPECT_EQ(match_step("XGBoost-Training", specs), &specs[1]);
  EXPECT_EQ(match_step("training", specs), &specs[1]);
  EXPECT_EQ(match_step("xgboost", specs), nullptr);
  EXPECT_EQ(match_step("", specs), nullptr);
  EXPECT_EQ(match_step("nothing", specs), nullptr);
}

}  // namespace
}  // namespace casemate::runtime
