#include "runtime/spec_builder.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <sys/stat.h>

#include "runtime/pipeline_graph.h"
#include "runtime/script_path.h"
#include "runtime/spec_fields.h"
#include "runtime/spec_file.h"
#include "runtime/written_path.h"

namespace casemate::runtime {
namespace {

const NamedTexts kDefaultVariables = {{"LABEL_FIELD", "label"}};

Json default_arguments() { return {{"job_type", "testing"}}; }

// The saved spec of a script; nullopt: there is none, or its name can't have one.
Result<std::optional<ScriptExecutionSpec>> saved_spec(const std::string& script, const std::string& directory) {
  if (directory.empty() || !script_spec_path(script, directory)) return std::nullopt;
  auto saved = load_script_spec(script, directory);
  if (!saved && saved.error().code == ErrorCode::not_found) return std::nullopt;
  if (!saved) return std::unexpected(std::move(saved).error());
  return std::optional(std::move(*saved));
}

void complete(ScriptExecutionSpec& spec, const ScriptExecutionSpec& from) {
  const auto take = [](auto& value, const auto& other) {
    if (value.empty()) value = other;
  };
  take(spec.input_paths, from.input_paths);
  take(spec.output_paths, from.output_paths);
  take(spec.environ_vars, from.environ_vars);
  take(spec.job_args, from.job_args);
  if (!spec.script_path) spec.script_path = from.script_path;
  if (!spec.user_notes) spec.user_notes = from.user_notes;
}

Result<PipelineGraph> completed_graph(const Json& dag, const std::string& specs_directory, const std::string& test_data_dir) {
  TRY_ASSIGN(PipelineGraph graph, graph_from(dag));
  std::map<std::string, std::optional<ScriptExecutionSpec>> saved;
  for (PipelineStep& step : graph.steps) {
    const std::string& script = step.spec.script_name;
    if (!saved.contains(script)) {
      TRY_ASSIGN(saved[script], saved_spec(script, specs_directory));
    }
    if (const auto& found = saved[script]) complete(step.spec, *found);
    complete(step.spec, default_spec(script, step.spec.step_name, test_data_dir));
  }
  return graph;
}

const std::string* path_named(const NamedTexts& paths, const std::string& name) {
  for (const auto& [one, path] : paths) {
    if (one == name) return &path;
  }
  return name.empty() && paths.size() == 1 ? &paths.front().second : nullptr;
}

void look_at_texts(std::vector<std::string>& problems, const NamedTexts& texts, std::string_view what) {
  for (const auto& [name, text] : texts) {
    if (name.empty()) problems.push_back(fmt::format("{} has a name that is empty", what));
    for (const std::string& one : {name, text}) {
      if (const std::string problem = problem_of_text(one); !problem.empty())
        problems.push_back(fmt::format("{}.{}: {}", what, named(name), problem));
    }
  }
}

void look_at_paths(std::vector<std::string>& problems, const ScriptExecutionSpec& spec) {
  std::map<std::string, std::string> writers;
  for (const auto& [name, path] : spec.input_paths) {
    struct stat info{};
    if (path.empty()) {
      problems.push_back(fmt::format("input_paths.{}: the path is empty", named(name)));
    } else if (::stat(path.c_str(), &info) != 0) {
      problems.push_back(fmt::format("input_paths.{}: {} does not exist", named(name), named(path)));
    }
  }
  for (const auto& [name, path] : spec.output_paths) {
    if (path.empty()) {
      problems.push_back(fmt::format("output_paths.{}: the path is empty", named(name)));
      continue;
    }
    const auto [other, is_new] = writers.emplace(plain_path(path), name);
    if (!is_new) problems.push_back(fmt::format("output_paths.{}: the same path as output '{}'", named(name), named(other->second)));
  }
  for (const auto& [name, path] : spec.input_paths) {
    const auto writer = path.empty() ? writers.end() : writers.find(plain_path(path));
    if (writer != writers.end())
      problems.push_back(fmt::format("input_paths.{}: the same path as output '{}'", named(name), named(writer->second)));
  }
}

void look_at_script(std::vector<std::string>& problems, const ScriptExecutionSpec& spec, const std::vector<std::string>& directories) {
  const std::string& wanted = spec.script_path.value_or(spec.script_name);
  if (spec.script_path) {
    struct stat info{};
    if (wanted.find('\0') == std::string::npos && ::stat(wanted.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return;
    problems.push_back(fmt::format("script_path: {} is no file", named(wanted)));
    return;
  }
  const auto found = find_script(wanted, directories);
  if (found) return;
  problems.push_back(found.error().what);
}

// Equal but for case, '-' and '_'.
std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    if (c != '-' && c != '_') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  return plain;
}

}  // namespace

ScriptExecutionSpec default_spec(const std::string& script_name, const std::string& step_name, const std::string& test_data_dir) {
  ScriptExecutionSpec spec{.script_name = script_name, .step_name = step_name.empty() ? script_name : step_name};
  spec.input_paths = {{"data_input", fmt::format("{}/{}/input", test_data_dir, script_name)}};
  spec.output_paths = {{"data_output", fmt::format("{}/{}/output", test_data_dir, script_name)}};
  spec.environ_vars = kDefaultVariables;
  spec.job_args = default_arguments();
  return spec;
}

Result<std::vector<ScriptExecutionSpec>> specs_from_dag(const Json& dag, const std::string& specs_directory,
                                                        const std::string& test_data_dir) {
  TRY_ASSIGN(PipelineGraph graph, completed_graph(dag, specs_directory, test_data_dir));
  std::vector<ScriptExecutionSpec> specs;
  for (PipelineStep& step : graph.steps) specs.push_back(std::move(step.spec));
  return specs;
}

Result<PipelineTestingSpec> pipeline_from_dag(const std::string& name, const Json& dag, const std::string& specs_directory,
                                              const std::string& test_data_dir) {
  TRY_ASSIGN(PipelineGraph graph, completed_graph(dag, specs_directory, test_data_dir));
  PipelineTestingSpec pipeline{.pipeline_name = name};
  Json nodes = Json::array();
  for (const PipelineStep& step : graph.steps) nodes.push_back(step.spec.step());
  Json edges = Json::array();
  for (const PipelineEdge& edge : graph.edges) {
    const ScriptExecutionSpec& from = graph.steps[edge.from].spec;
    const ScriptExecutionSpec& to = graph.steps[edge.to].spec;
    DataFlowSpec flow{.from_step = from.step(), .to_step = to.step()};
    if (const std::string* path = path_named(from.output_paths, edge.from_output)) flow.data_path = *path;
    if (!edge.from_output.empty()) flow.from_output = edge.from_output;
    if (!edge.to_input.empty()) flow.to_input = edge.to_input;
    pipeline.data_flow_specs.push_back(std::move(flow));
    Json pair = Json::array({from.step(), to.step()});
    if (edges.empty() || edges.back() != pair) edges.push_back(std::move(pair));
  }
  pipeline.dag = Json{{"nodes", std::move(nodes)}, {"edges", std::move(edges)}};
  for (PipelineStep& step : graph.steps) pipeline.script_specs.push_back(std::move(step.spec));
  return pipeline;
}

std::vector<std::string> problems_of(const ScriptExecutionSpec& spec, const std::vector<std::string>& script_directories) {
  std::vector<std::string> problems;
  if (spec.script_name.empty()) problems.emplace_back("script_name: must not be empty");
  if (spec.script_name.find('/') != std::string::npos)
    problems.emplace_back("script_name: has a slash in it; a file goes into script_path");
  look_at_texts(problems, spec.input_paths, "input_paths");
  look_at_texts(problems, spec.output_paths, "output_paths");
  look_at_texts(problems, spec.environ_vars, "environ_vars");
  for (const auto& [name, text] : spec.environ_vars) {
    if (name.find('=') != std::string::npos)
      problems.push_back(fmt::format("environ_vars.{}: a variable's name can't have '=' in it", named(name)));
  }
  if (!spec.job_args.is_object()) problems.push_back(fmt::format("job_args: must be an object, is {}", kind_of(spec.job_args)));
  if (const auto checked = check_value(spec.job_args, "job_args"); !checked) problems.push_back(checked.error().what);
  if (!problems.empty()) return problems;
  look_at_paths(problems, spec);
  look_at_script(problems, spec, script_directories);
  return problems;
}

MainParameters main_parameters(const ScriptExecutionSpec& spec) {
  return {.input_paths = spec.input_paths,
          .output_paths = spec.output_paths,
          .environ_vars = spec.environ_vars.empty() ? kDefaultVariables : spec.environ_vars,
          .job_args = spec.job_args.empty() ? default_arguments() : spec.job_args};
}

const ScriptExecutionSpec* match_step(const std::string& step, const std::vector<ScriptExecutionSpec>& specs) {
  for (const ScriptExecutionSpec& spec : specs) {
    if (spec.step() == step) return &spec;
  }
  for (const ScriptExecutionSpec& spec : specs) {
    if (spec.script_name == step) return &spec;
  }
  const std::string plain = plain_name(step);
  if (plain.empty()) return nullptr;
  const ScriptExecutionSpec* holder = nullptr;
  bool several = false;
  for (const ScriptExecutionSpec& spec : specs) {
    const std::string names[] = {plain_name(spec.step()), plain_name(spec.script_name)};
    if (std::ranges::find(names, plain) != std::end(names)) return &spec;
    if (std::ranges::none_of(names, [&](const std::string& name) { return name.find(plain) != std::string::npos; })) continue;
    several = several || holder;
    holder = &spec;
  }
  return several ? nullptr : holder;
}

}  // namespace casemate::runtime
