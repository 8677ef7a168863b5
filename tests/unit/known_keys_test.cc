// Keys that people misspell.
#include "runtime/known_keys.h"

#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

using Lines = std::vector<std::string>;

TEST(KnownKeys, NearOnesOfAPipelineAreNamedWithTheirPlace) {
  const Json written = Json::parse(R"({"step": {}, "notes": "mine", "edgse": [], "owner": {"stpes": 1},
    "nodes": ["a", {"nmae": "b"}],
    "steps": {"a": {"script": "x", "environ_var": {}, "environment": {}}, "b": {"outptus": {}, "comment": 1}, "c": "x.py", "d": null},
    "dag": {"egdes": [], "steps": [{"dependson": "x"}]}})");
  EXPECT_EQ(
      misspelled_pipeline_keys(written),
      (Lines{"unknown key 'edgse', did you mean 'edges'?", "steps.a: unknown key 'environ_var', did you mean 'environ_vars'?",
             "steps.b: unknown key 'outptus', did you mean 'outputs'?", "nodes[1]: unknown key 'nmae', did you mean 'name'?",
             "dag: unknown key 'egdes', did you mean 'edges'?", "dag.steps[0]: unknown key 'dependson', did you mean 'depends_on'?"}));
}

TEST(KnownKeys, NearOnesOfSpecsToo) {
  const Json spec = Json::parse(R"({"script_name": "x", "input_path": {}, "purpose": ""})");
  EXPECT_EQ(misspelled_spec_keys(spec), Lines{"unknown key 'input_path', did you mean 'input_paths'?"});
  EXPECT_EQ(misspelled_pipeline_keys({{"script_specs", {{"n\n", spec}}}}),
            Lines{"script_specs.n\\n: unknown key 'input_path', did you mean 'input_paths'?"});
  EXPECT_EQ(misspelled_pipeline_keys({{"scriptspecs", Json::array()}}), Lines{"unknown key 'scriptspecs', did you mean 'script_specs'?"});
}

TEST(KnownKeys, WhatIsNoObjectHasNoneAndLinesAreFew) {
  for (const Json& other : {Json(), Json(3), Json::array({1}), Json("steps"), Json{{"steps", 3}, {"dag", "x"}, {"nodes", {1, nullptr}}}})
    EXPECT_EQ(misspelled_pipeline_keys(other), Lines());
  Json many;
  for (int at = 0; at < 1000; ++at) many["steps"]["s" + std::to_string(at)] = {{"scrpit", "x"}};
  EXPECT_EQ(misspelled_pipeline_keys(many).size(), 20u);
}

}  // namespace
}  // namespace casemate::runtime
