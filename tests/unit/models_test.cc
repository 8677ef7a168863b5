// Models of the runtime tester from and to JSON: what is taken, what is refused, and where it says the fault lies.
#include "runtime/models.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

Json parsed(const char* text) { return Json::parse(text); }

template <class T>
std::string wrong(const Result<T>& result) {
  EXPECT_FALSE(result);
  if (result) return "";
  EXPECT_EQ(result.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(result.error().what.find('\n'), std::string::npos);
  return result.error().what;
}

std::string wrong_spec(const char* text) { return wrong(script_spec_from(parsed(text))); }
std::string wrong_pipeline(const char* text) { return wrong(pipeline_spec_from(parsed(text))); }
std::string wrong_configuration(const char* text) { return wrong(configuration_from(parsed(text))); }

TEST(RuntimeModels, a_spec_goes_there_and_back_with_its_order) {
  const Json json = parsed(R"({"script_name":"x","step_name":"s","script_path":"a/x.py","input_paths":{"z":"1","a":"2"},
    "output_paths":{"o":"3"},"environ_vars":{"B":"","A":"ü"},"job_args":{"n":[1,{"k":null}],"f":0.5},"last_updated":"2026-01-01T00:00:00","user_notes":"n"})");
  const auto spec = script_spec_from(json);
  ASSERT_TRUE(spec) << spec.error().what;
  EXPECT_EQ(spec->input_paths, (NamedTexts{{"z", "1"}, {"a", "2"}}));
  EXPECT_EQ(spec->step(), "s");
  EXPECT_EQ(to_json(*spec), json);
  EXPECT_EQ(script_spec_from(to_json(*spec)), *spec);
}

TEST(RuntimeModels, what_a_spec_does_not_say_is_empty) {
  const auto spec = script_spec_from(parsed(R"({"script_name":"x.py","step_name":null,"script_path":"","unknown":1})"));
  ASSERT_TRUE(spec);
  EXPECT_EQ(*spec, (ScriptExecutionSpec{.script_name = "x"}));
  EXPECT_EQ(spec->step(), "x");
}

TEST(RuntimeModels, a_spec_that_is_wrong_says_where) {
  EXPECT_EQ(wrong_spec("[]"), "a script's spec must be an object, is a list");
  EXPECT_EQ(wrong_spec("{}"), "script_name: must be a text that is not empty, is missing");
  EXPECT_EQ(wrong_spec(R"({"script_name":""})"), "script_name: must be a text that is not empty, is an empty text");
  EXPECT_EQ(wrong_spec(R"({"script_name":7})"), "script_name: must be a text, is a number");
  EXPECT_EQ(wrong_spec(R"({"script_name":"x","environ_vars":{"A":1}})"), "environ_vars.A: must be a text, is a number");
  EXPECT_EQ(wrong_spec(R"({"script_name":"x","environ_vars":{"A=B":"1"}})"), "environ_vars.A=B: a variable's name can't have '=' in it");
  EXPECT_EQ(wrong_spec(R"({"script_name":"x","input_paths":["a"]})"), "input_paths: must be an object of texts, is a list");
  EXPECT_EQ(wrong_spec(R"({"script_name":"x","input_paths":{"a":"b\u0000"}})"), "input_paths.a: must have no NUL byte in it");
  EXPECT_EQ(wrong_spec(R"({"script_name":"x","input_paths":{"":"b"}})"), "input_paths: has a name that is empty");
  EXPECT_EQ(wrong_spec(R"({"script_name":"x","job_args":true})"), "job_args: must be an object, is true");
}

TEST(RuntimeModels, arguments_that_json_can_not_hold_are_refused) {
  for (const double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Json json = {{"script_name", "x"}, {"job_args", {{"rates", {0.5, value}}, {"n", 1}}}};
    EXPECT_EQ(wrong(script_spec_from(json)), std::isnan(value)
                                                 ? "job_args.rates[1]: must be a finite number, is NaN, which JSON can't hold"
                                                 : "job_args.rates[1]: must be a finite number, is infinite, which JSON can't hold");
  }
  EXPECT_EQ(wrong(script_spec_from(Json{{"script_name", "x"}, {"job_args", {{"a", "\xff"}, {"b", 1}}}})), "job_args.a: must be UTF-8");
  EXPECT_EQ(wrong(script_spec_from(Json{{"script_name", "\xff\n"}, {"job_args", nullptr}})), "script_name: must be UTF-8");
  Json deep = 1;
  for (int level = 0; level < 100; ++level) deep = Json::array({std::move(deep)});
  EXPECT_NE(wrong(script_spec_from(Json{{"script_name", "x"}, {"job_args", {{"a", deep}, {"b", 1}}}})).find("is nested more than 64 deep"),
            std::string::npos);
}

TEST(RuntimeModels, script_specs_are_a_list_or_an_object) {
  const auto list = pipeline_spec_from(parsed(R"({"pipeline_name":"p","script_specs":[{"script_name":"a"}],
    "data_flow_specs":[{"from_step":"a","to_step":"b","data_path":"d"}]})"));
  ASSERT_TRUE(list);
  EXPECT_FALSE(list->by_node);
  EXPECT_EQ(list->data_flow_specs, (std::vector<DataFlowSpec>{{.from_step = "a", .to_step = "b", .data_path = "d"}}));
  const Json written =
      parsed(R"({"script_specs":{"n1":{"script_name":"a"},"n2":{"script_name":"b","step_name":"s"}},"dag":{"nodes":["n1"],"edges":[]}})");
  const auto object = pipeline_spec_from(written);
  ASSERT_TRUE(object);
  EXPECT_TRUE(object->by_node);
  EXPECT_EQ(object->nodes, (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(object->script_specs[0].step_name, "n1");
  EXPECT_EQ(object->script_specs[1].step_name, "s");
  for (const auto& spec : {list, object}) EXPECT_EQ(pipeline_spec_from(to_json(*spec)), *spec);
}

TEST(RuntimeModels, a_pipeline_that_is_wrong_says_where) {
  EXPECT_EQ(wrong_pipeline(R"({"script_specs":7})"), "script_specs: must be a list of specs, or an object of them by node, is a number");
  EXPECT_EQ(wrong_pipeline(R"({"script_specs":[{"script_name":"a"},{"script_name":1}]})"),
            "script_specs[1].script_name: must be a text, is a number");
  EXPECT_EQ(wrong_pipeline(R"({"script_specs":{"a\u001b":[]}})"), "script_specs.a\\x1b: a script's spec must be an object, is a list");
  EXPECT_EQ(wrong_pipeline(R"({"script_specs":{"":{}}})"), "script_specs.: a node's name must not be empty");
  EXPECT_EQ(wrong_pipeline(R"({"data_flow_specs":[{"from_step":"a"}]})"),
            "data_flow_specs[0].to_step: must be a text that is not empty, is missing");
  EXPECT_EQ(wrong_pipeline(R"({"dag":[]})"), "dag: must be an object, is a list");
}

TEST(RuntimeModels, a_configuration_has_the_documented_defaults) {
  const auto none = configuration_from(Json::object());
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, RuntimeTestingConfiguration{});
  EXPECT_EQ(to_json(*none).dump().substr(0, 69), R"({"workspace_dir":"./test_workspace","timeout_seconds":300,"enable_log)");
  const auto all = configuration_from(
      parsed(R"({"workspace_dir":"w","timeout_seconds":0.5,"enable_logging":false,"log_level":"debug","cleanup_after_test":false,
    "preserve_outputs":true,"pipeline_spec":{"script_specs":[]},"test_individual_scripts":false,"test_data_compatibility":false,"test_pipeline_flow":false,
    "script_directories":["a","b"],"memory_bytes":"2G","python":"/p","requirements":"r.txt","image":"i","slots":3})"));
  ASSERT_TRUE(all) << all.error().what;
  EXPECT_EQ(all->memory_bytes, 2ull << 30);
  EXPECT_EQ(all->script_directories.size(), 2u);
  EXPECT_EQ(configuration_from(to_json(*all)), *all);
}

TEST(RuntimeModels, the_workspace_may_come_from_the_pipeline) {
  const auto old = configuration_from(parsed(R"({"pipeline_spec":{"test_workspace_root":"root"}})"));
  ASSERT_TRUE(old);
  EXPECT_EQ(old->workspace_dir, "root");
  EXPECT_EQ(configuration_from(parsed(R"({"workspace_dir":"w","pipeline_spec":{"test_workspace_root":"root"}})"))->workspace_dir, "w");
}

TEST(RuntimeModels, a_configuration_that_is_wrong_says_where) {
  for (const char* seconds : {"0", "-1", "\"5\"", "true", "1e300"})
    EXPECT_TRUE(wrong_configuration((std::string(R"({"timeout_seconds":)") + seconds + "}").c_str())
                    .starts_with("timeout_seconds: must be a number of seconds above 0"));
  EXPECT_EQ(wrong_configuration(R"({"log_level":"LOUD"})"), "log_level: must be DEBUG, INFO, WARNING, ERROR or CRITICAL, is 'LOUD'");
  EXPECT_EQ(wrong_configuration(R"({"workspace_dir":""})"), "workspace_dir: must be a text that is not empty, is an empty text");
  EXPECT_EQ(wrong_configuration(R"({"enable_logging":1})"), "enable_logging: must be true or false, is a number");
  EXPECT_EQ(wrong_configuration(R"({"memory_bytes":1024})"), "memory_bytes: must be at least 1 MiB, is 1024 bytes");
  EXPECT_EQ(wrong_configuration(R"({"memory_bytes":-1})"),
            "memory_bytes: must be a whole number of bytes or a text like \"2G\", is a number");
  EXPECT_EQ(wrong_configuration(R"({"slots":-1})"), "slots: must be a whole number from 0 to 1000, is a number");
  EXPECT_EQ(wrong_configuration(R"({"script_directories":["a",""]})"),
            "script_directories[1]: must be a text that is not empty, is an empty text");
  EXPECT_EQ(wrong_configuration(R"({"pipeline_spec":{"dag":1}})"), "pipeline_spec.dag: must be an object, is a number");
}

TEST(RuntimeModels, results_have_every_key_and_only_utf_8) {
  ScriptTestResult script{.script_name = "a\xff", .success = true, .execution_time = 1.5, .has_main_function = true};
  script.outcome = {.kind = Outcome::Kind::exited};
  const Json json = to_json(script);
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"script_name", "success", "execution_time", "has_main_function", "error_message", "step_name",
                                            "skipped", "traceback", "standard_output", "standard_error", "outcome", "peak_memory_bytes",
                                            "outputs", "notes"}));
  EXPECT_EQ(json.at("script_name"), "a\xef\xbf\xbd");
  EXPECT_EQ(json.at("error_message"), nullptr);
  EXPECT_EQ(json.at("outcome").at("text"), "exited 0");
  PipelineResult pipeline{.pipeline_success = true};
  pipeline.script_results = {{"b", script}, {"a", script}};
  pipeline.data_flow_results = {
      {"b->a", DataCompatibilityResult{.script_a = "b", .script_b = "a", .compatible = true, .result_a = script}}};
  const Json whole = to_json(pipeline);
  EXPECT_EQ(whole.at("script_results").begin().key(), "b");
  EXPECT_EQ(whole.at("data_flow_results").at("b->a").at("result_a").at("execution_time"), 1.5);
  EXPECT_EQ(whole.at("data_flow_results").at("b->a").at("data_format_a"), nullptr);
  EXPECT_FALSE(whole.dump().empty());
}

TEST(RuntimeModels, results_go_there_and_back) {
  ScriptTestResult script{.script_name = "a", .execution_time = 1.5, .has_main_function = true, .error_message = "", .skipped = "s"};
  script.traceback = std::string("t\0", 2);
  script.outcome = {.kind = Outcome::Kind::setup_failed, .code = 1, .step = "mount", .detail = "d"};
  script.peak_memory_bytes = 7;
  script.outputs = {"o", ""};
  const auto again = script_result_from(to_json(script));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(to_json(*again), to_json(script));
  EXPECT_EQ(again->outcome, script.outcome);
  DataCompatibilityResult fits{
      .script_a = "a", .script_b = "b", .compatible = true, .data_format_a = "CSV", .compatibility_issues = {"i"}, .result_b = script};
  fits.data_a = {{.name = "d", .format = "CSV", .rows = 3, .columns = {{"x", "int", "int64", 1}}}};
  const auto fits_again = compatibility_result_from(to_json(fits));
  ASSERT_TRUE(fits_again) << fits_again.error().what;
  EXPECT_EQ(to_json(*fits_again), to_json(fits));
  EXPECT_EQ(to_json(script_result_from(Json::object()).value()), to_json(ScriptTestResult{}));
  EXPECT_EQ(wrong(script_result_from(Json::parse(R"({"outcome":{"kind":"odd"}})"))), "outcome.kind: 'odd' is no outcome");
  EXPECT_EQ(wrong(script_result_from(Json::parse(R"({"execution_time":"1"})"))), "execution_time: must be a finite number, is a text");
  EXPECT_EQ(wrong(compatibility_result_from(Json::parse(R"({"data_a":[{"format":"?"}]})"))),
            "data_a[0]: what was said of data in the cell makes no sense: its format is none that we know");
  EXPECT_EQ(wrong(compatibility_result_from(Json::parse(R"({"result_a":[]})"))),
            "result_a: a script's result must be an object, is a list");
}

TEST(RuntimeModels, parameters_go_there_and_back) {
  const MainParameters parameters{
      .input_paths = {{"i", "a"}}, .output_paths = {{"o", "b"}}, .environ_vars = {{"E", "c"}}, .job_args = {{"n", 1}, {"m", nullptr}}};
  EXPECT_EQ(main_parameters_from(to_json(parameters)), parameters);
  EXPECT_EQ(main_parameters_from(Json::object()), MainParameters{});
}

}  // namespace
}  // namespace casemate::runtime
