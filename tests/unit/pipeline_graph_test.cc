// Pipelines in every form in which people write them, as graphs; and those that are none.
#include "runtime/pipeline_graph.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

// "a b<a c<a,b": each step and those that it is after.
std::string shape(const Result<PipelineGraph>& graph) {
  if (!graph) return graph.error().what;
  std::string text;
  for (const PipelineStep& step : graph->steps) {
    text += (text.empty() ? "" : " ") + step.spec.step();
    for (std::size_t at = 0; at < step.after.size(); ++at) text += (at == 0 ? "<" : ",") + graph->steps[step.after[at]].spec.step();
  }
  return text;
}

std::string shape_of(const char* json) { return shape(graph_from(Json::parse(json))); }

std::string edges_of(const Result<PipelineGraph>& graph) {
  if (!graph) return graph.error().what;
  std::string text;
  for (const PipelineEdge& edge : graph->edges) {
    text += fmt::format("{}{}.{}->{}.{}", text.empty() ? "" : " ", graph->steps[edge.from].spec.step(), edge.from_output,
                        graph->steps[edge.to].spec.step(), edge.to_input);
  }
  return text;
}

TEST(PipelineGraph, the_documented_form_is_a_chain) {
  const auto graph = graph_from(Json::parse(R"({"steps":{"pre":{"script":"tabular.py"},"train":null,"eval":{}}})"));
  EXPECT_EQ(shape(graph), "pre train<pre eval<train");
  EXPECT_EQ(graph->steps[0].spec.script_name, "tabular");
  EXPECT_EQ(graph->steps[1].spec.script_name, "train");
  EXPECT_EQ(edges_of(graph), "pre.->train. train.->eval.");
}

TEST(PipelineGraph, all_forms_of_steps_are_read) {
  EXPECT_EQ(shape_of(R"({"steps":[{"name":"a","script":"x"},"b.py",{"script":"c.py"},{"step_name":"d","script_name":"x"}]})"),
            "a b.py<a c.py<b.py d<c.py");
  EXPECT_EQ(shape_of(R"({"steps":{"b":{"depends_on":["a"]},"a":{}}})"), "a b<a");
  EXPECT_EQ(shape_of(R"({"steps":{"b":{"dependencies":"a"},"a":{},"c":"c.py"}})"), "a b<a c");
  EXPECT_EQ(shape_of(R"({"nodes":["a","b","c"],"edges":[["c","a"],{"from":"a","to":"b"}]})"), "c a<c b<a");
  EXPECT_EQ(shape_of(R"({"nodes":{"a":{"script":"x"},"b":null},"edges":[["b","a"]]})"), "b a<b");
  EXPECT_EQ(shape_of(R"({"steps":{"a":{}},"nodes":["a","b"],"edges":[["a","b"]]})"), "a b<a");
  EXPECT_EQ(shape_of(R"({"dag":{"nodes":["a","b"],"edges":[["a","b"]]}})"), "a b<a");
  EXPECT_EQ(shape_of(R"({"script_specs":{"n":{"script_name":"x"},"m":{"script_name":"y"}},"dag":{"nodes":["n","m"],"edges":[["m","n"]]}})"),
            "m n<m");
  EXPECT_EQ(shape_of(R"({"nodes":["a","b"],"edges":[]})"), "a b");
  EXPECT_EQ(shape_of(R"({"steps":{"a":{"depends_on":[]},"b":{}}})"), "a b");
}

TEST(PipelineGraph, a_steps_own_words_arrive) {
  const auto graph = graph_from(Json::parse(
      R"({"steps":{"s":{"script":"dir/x.py","inputs":{"i":"a"},"outputs":{"o":"b"},"environ_vars":{"E":"1"},"job_args":{"n":1}}}})"));
  ASSERT_TRUE(graph);
  EXPECT_EQ(graph->steps[0].spec, (ScriptExecutionSpec{.script_name = "x",
                                                       .step_name = "s",
                                                       .script_path = "dir/x.py",
                                                       .input_paths = {{"i", "a"}},
                                                       .output_paths = {{"o", "b"}},
                                                       .environ_vars = {{"E", "1"}},
                                                       .job_args = Json::parse(R"({"n":1})")}));
}

TEST(PipelineGraph, paths_join_steps) {
  // c reads what a wrote and what b wrote below a directory; steps stand in any order.
  EXPECT_EQ(edges_of(graph_from(Json::parse(R"({"steps":{
    "c":{"inputs":{"x":"./w/a/","y":"w/b"}},
    "a":{"outputs":{"out":"w/a"}},
    "b":{"outputs":{"out":"w/q/../b"},"inputs":{"in":"w/a/part.csv"}}}})"))),
            "a.out->b.in a.out->c.x b.out->c.y");
  EXPECT_EQ(edges_of(graph_from(
                Json::parse(R"({"steps":{"a":{"outputs":{"o":"d/train"}},"b":{"outputs":{"o":"d/test"}},"c":{"inputs":{"i":"d"}}}})"))),
            "a.o->c.i b.o->c.i");
}

TEST(PipelineGraph, a_path_that_several_write_comes_from_the_last_before) {
  EXPECT_EQ(edges_of(graph_from(Json::parse(
                R"({"steps":{"a":{"outputs":{"o":"p"}},"b":{"inputs":{"i":"p"},"outputs":{"o":"p"}},"c":{"inputs":{"i":"p"}}}})"))),
            "a.o->b.i b.o->c.i");
  EXPECT_EQ(shape_of(R"({"steps":{"a":{"inputs":{"i":"p"},"outputs":{"o":"p"}},"b":{"inputs":{"i":"p"},"outputs":{"o":"p"}}}})"), "a b<a");
}

TEST(PipelineGraph, an_edge_knows_its_data) {
  PipelineTestingSpec spec;
  spec.script_specs = {{.script_name = "a", .step_name = "load", .output_paths = {{"o1", "x"}, {"o2", "./y"}}},
                       {.script_name = "b", .step_name = "train", .input_paths = {{"i", "elsewhere"}, {"j", "y"}}}};
  spec.data_flow_specs = {{.from_step = "load", .to_step = "train", .data_path = "./y"}};
  EXPECT_EQ(edges_of(graph_from(spec)), "load.o2->train.j");
  spec.data_flow_specs = {{.from_step = "a", .to_step = "train", .from_output = "o1", .to_input = "i"},
                          {.from_step = "load", .to_step = "b"}};
  EXPECT_EQ(edges_of(graph_from(spec)), "load.o1->train.i load.o2->train.j");
  spec.data_flow_specs = {{.from_step = "load", .to_step = "train", .from_output = "o3"}};
  EXPECT_EQ(edges_of(graph_from(spec)), "data_flow_specs[0]: step 'load' has no output 'o3', did you mean 'o1'?");
}

TEST(PipelineGraph, nodes_name_specs_by_their_key) {
  PipelineTestingSpec spec{.by_node = true, .nodes = {"n1", "n2"}};
  spec.script_specs = {{.script_name = "x", .step_name = "same"}, {.script_name = "y", .step_name = "same"}};
  spec.dag = Json::parse(R"({"nodes":["n1","n2"],"edges":[["n2","n1"]]})");
  EXPECT_EQ(shape(graph_from(spec)), "n2 n1<n2");
  spec.dag = Json::parse(R"({"nodes":["n1","n3"],"edges":[]})");
  EXPECT_EQ(shape(graph_from(spec)), "dag.nodes: node 'n3' has no entry in script_specs");
}

TEST(PipelineGraph, what_is_no_pipeline_is_named) {
  const std::string none = "No steps found in pipeline configuration";
  for (const char* json :
       {"{}", R"({"steps":{}})", R"({"steps":[]})", R"({"steps":null})", R"({"nodes":[],"edges":[]})", R"({"script_specs":[]})"})
    EXPECT_EQ(shape_of(json), none) << json;
  EXPECT_EQ(shape(graph_from(PipelineTestingSpec{})), none);
  EXPECT_EQ(shape_of("[]"), "a pipeline's configuration must be an object, is a list");
  EXPECT_EQ(shape_of(R"({"steps":"a"})"), "steps: must be an object of steps by name, or a list of them, is a text");
  EXPECT_EQ(shape_of(R"({"steps":{"a":7}})"), "steps.a: a step must be an object, is a number");
  EXPECT_EQ(shape_of(R"({"steps":[null]})"), "steps[0]: must be a step, is null");
  EXPECT_EQ(shape_of(R"({"steps":[{}]})"), "steps[0].name: must be a text that is not empty, is missing");
  EXPECT_EQ(shape_of(R"({"steps":{"":{}}})"), "steps.: a step's name must not be empty");
  EXPECT_EQ(shape_of(R"({"steps":{"a":{"script":""}}})"), "steps.a.script: must be a text that is not empty, is an empty text");
  EXPECT_EQ(shape_of(R"({"steps":{"a":"d/"}})"), "steps.a: names no script");
  EXPECT_EQ(shape_of(R"({"steps":["a","a"]})"), "two steps are named 'a'");
  EXPECT_EQ(shape_of(R"({"nodes":["a"],"edges":[["a"]]})"), "edges[0]: must be a pair of steps' names");
  EXPECT_EQ(shape_of(R"({"nodes":["a"],"edges":{}})"), "edges: must be a list of pairs, is an object");
}

TEST(PipelineGraph, a_step_that_is_not_there_is_named) {
  EXPECT_EQ(shape_of(R"({"steps":{"training":{},"b":{"depends_on":["trainin"]}}})"),
            "step 'b' depends on 'trainin', which is no step, did you mean 'training'?");
  EXPECT_EQ(shape_of(R"({"steps":{"a":{},"b":{"depends_on":["nothing"]}}})"), "step 'b' depends on 'nothing', which is no step");
  EXPECT_EQ(shape_of(R"({"nodes":["a"],"edges":[["a","xyz"]]})"), "edges[0] names 'xyz', which is no step");
  EXPECT_EQ(shape_of(R"({"script_specs":[{"script_name":"a"}],"data_flow_specs":[{"from_step":"a","to_step":"\u001b[2J"}]})"),
            "data_flow_specs[0] names '\\x1b[2J', which is no step");
}

TEST(PipelineGraph, a_cycle_is_named) {
  EXPECT_EQ(shape_of(R"({"steps":{"a":{"depends_on":["a"]}}})"), "steps depend on each other: a -> a");
  EXPECT_EQ(shape_of(R"({"nodes":["x","a","b","c","y"],"edges":[["x","a"],["a","b"],["b","c"],["c","a"],["c","y"]]})"),
            "steps depend on each other: a -> b -> c -> a");
  EXPECT_EQ(shape_of(R"({"steps":{"a":{"inputs":{"i":"q"},"outputs":{"o":"p"}},"b":{"inputs":{"i":"p"},"outputs":{"o":"q"}}}})"),
            "steps depend on each other: a -> b -> a");
  Json ring = {{"nodes", Json::array()}, {"edges", Json::array()}};
  for (int at = 0; at < 1000; ++at) {
    ring["nodes"].push_back(fmt::format("n{}", at));
    ring["edges"].push_back({fmt::format("n{}", at), fmt::format("n{}", (at + 1) % 1000)});
  }
  EXPECT_EQ(shape(graph_from(ring)),
            "steps depend on each other: n0 -> n1 -> n2 -> n3 -> n4 -> n5 -> n6 -> n7 -> n8 -> n9 -> n10 -> n11 -> ... (988 more) -> n0");
}

// Names that a quadratic look-up would compare 50 million times: the test ends at once, or does not end in its time.
TEST(PipelineGraph, ten_thousand_steps_are_taken_and_no_more) {
  for (const int count : {1'000, 10'000, 10'001}) {
    Json::object_t steps;
    for (int at = 0; at < count; ++at) {
      Json step = {{"script", "x.py"}, {"inputs", {{"i", fmt::format("w/{}", at)}}}, {"outputs", {{"o", fmt::format("w/{}", at + 1)}}}};
      steps.emplace_back(fmt::format("step-with-a-long-name-{}", at), std::move(step));
    }
    const auto graph = graph_from(Json{{"steps", std::move(steps)}, {"version", 1}});
    if (count > 10'000) {
      EXPECT_EQ(shape(graph), "the pipeline has 10001 steps; at most 10000 are run");
      continue;
    }
    ASSERT_TRUE(graph) << graph.error().what;
    EXPECT_EQ(graph->edges.size(), static_cast<std::size_t>(count - 1));
    EXPECT_EQ(graph->steps.back().after, (std::vector<std::size_t>{static_cast<std::size_t>(count - 2)}));
  }
}

TEST(PipelineGraph, everybody_after_everybody_is_bounded) {
  Json steps = Json::array();
  for (int at = 0; at < 1500; ++at)
    steps.push_back({{"name", fmt::format("a{}", at)}, {"outputs", {{"o", fmt::format("w/{}", at)}}}, {"inputs", {{"i", "w"}}}});
  EXPECT_EQ(shape(graph_from(Json{{"steps", std::move(steps)}, {"version", 1}})), "the pipeline has more than 1000000 connections");
}

}  // namespace
}  // namespace casemate::runtime
