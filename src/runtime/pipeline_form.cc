#include "runtime/pipeline_form.h"

#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "runtime/script_path.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

// "x", "x.py" or "where/x.py": the latter two are files.
void take_script(ScriptExecutionSpec& spec, std::string script) {
  const std::size_t slash = script.rfind('/');
  if (slash != std::string::npos) {
    if (!spec.script_path) spec.script_path = script;
    script.erase(0, slash + 1);
  }
  spec.script_name = bare_script_name(std::move(script));
}

Result<NamedTexts> either(const SpecFields& fields, const char* key, const char* other, bool variables = false) {
  const char* spelled = fields.spelling(key, other);
  return variables ? fields.variables(spelled) : fields.named_texts(spelled);
}

Result<void> read_step(PipelineForm& form, const Json& written, const std::string& where, std::string name) {
  PipelineForm::Step step{.name = std::move(name)};
  ScriptExecutionSpec& spec = step.spec;
  if (written.is_null() || written.is_string()) {
    const std::string text = written.is_string() ? written.get<std::string>() : step.name;
    if (text.empty()) return invalid(fmt::format("{}: must be a script's name, is an empty text", where));
    if (const std::string problem = problem_of_text(text); !problem.empty()) return invalid(fmt::format("{}: {}", where, problem));
    if (step.name.empty()) step.name = text;
    take_script(spec, text);
  } else {
    TRY_ASSIGN(const SpecFields fields, SpecFields::of(written, where, "a step"));
    if (step.name.empty()) {
      const char* key = fields.spelling("name", "step_name");
      if (!fields.find(key) && (fields.find("script") || fields.find("script_name"))) key = fields.spelling("script", "script_name");
      TRY_ASSIGN(step.name, fields.text(key));
    }
    TRY_ASSIGN(spec.script_path, fields.optional_text("script_path"));
    const char* script = fields.spelling("script", "script_name");
    if (fields.find(script)) {
      TRY_ASSIGN(auto text, fields.text(script));
      take_script(spec, std::move(text));
    } else {
      take_script(spec, spec.script_path.value_or(step.name));
    }
    TRY_ASSIGN(spec.input_paths, either(fields, "inputs", "input_paths"));
    TRY_ASSIGN(spec.output_paths, either(fields, "outputs", "output_paths"));
    TRY_ASSIGN(spec.environ_vars, either(fields, "environ_vars", "environment", true));
    TRY_ASSIGN(spec.job_args, fields.values("job_args"));
    const char* depends = fields.spelling("depends_on", "dependencies");
    if (fields.find(depends)) form.says_order = true;
    TRY_ASSIGN(auto before, fields.texts(depends));
    for (std::string& one : before)
      form.links.push_back({.from = std::move(one), .to = step.name, .place = fields.place(depends), .is_dependency = true});
  }
  if (spec.script_name.empty()) return invalid(fmt::format("{}: names no script", where));
  spec.step_name = step.name;
  form.steps.push_back(std::move(step));
  return {};
}

Result<void> read_steps(PipelineForm& form, const SpecFields& fields) {
  const Json* steps = fields.find("steps");
  if (!steps) return {};
  if (steps->is_array()) {
    for (std::size_t at = 0; at < steps->size(); ++at) {
      const std::string where = fmt::format("{}[{}]", fields.place("steps"), at);
      if ((*steps)[at].is_null()) return invalid(fmt::format("{}: must be a step, is null", where));
      TRY(read_step(form, (*steps)[at], where, ""));
    }
    return {};
  }
  if (!steps->is_object()) return fields.wrong("steps", "an object of steps by name, or a list of them");
  for (const auto& [name, step] : steps->get_ref<const Json::object_t&>()) {
    const std::string problem = name.empty() ? "must not be empty" : problem_of_text(name);
    if (!problem.empty()) return invalid(fmt::format("{}.{}: a step's name {}", fields.place("steps"), named(name), problem));
    TRY(read_step(form, step, fmt::format("{}.{}", fields.place("steps"), named(name)), name));
  }
  return {};
}

Result<void> read_edge(PipelineForm& form, const Json& edge, const std::string& where) {
  PipelineForm::Link link{.place = where};
  if (edge.is_array()) {
    if (edge.size() != 2 || !edge[0].is_string() || !edge[1].is_string())
      return invalid(fmt::format("{}: must be a pair of steps' names", where));
    link.from = edge[0].get<std::string>();
    link.to = edge[1].get<std::string>();
  } else {
    TRY_ASSIGN(const SpecFields fields, SpecFields::of(edge, where, "an edge"));
    TRY_ASSIGN(link.from, fields.text(fields.spelling("from", "from_step")));
    TRY_ASSIGN(link.to, fields.text(fields.spelling("to", "to_step")));
    for (const auto& [key, text] :
         {std::pair("data_path", &link.path), std::pair("from_output", &link.from_output), std::pair("to_input", &link.to_input)}) {
      TRY_ASSIGN(const auto value, fields.optional_text(key));
      *text = value.value_or("");
    }
  }
  form.links.push_back(std::move(link));
  return {};
}

// "nodes" and "edges". A node that no step describes is a step whose script has its name; `strict`: it is an error.
Result<void> read_dag(PipelineForm& form, const SpecFields& fields, bool strict) {
  std::unordered_set<std::string> known;
  for (const PipelineForm::Step& step : form.steps) {
    known.insert(step.name);
    if (strict) known.insert({step.also, step.spec.script_name});
  }
  if (const Json* nodes = fields.find("nodes")) {
    if (!nodes->is_array() && !nodes->is_object()) return fields.wrong("nodes", "a list of steps");
    const std::size_t before = form.steps.size();
    if (nodes->is_object()) {
      for (const auto& [name, node] : nodes->get_ref<const Json::object_t&>()) {
        const std::string where = fmt::format("{}.{}", fields.place("nodes"), named(name));
        if (name.empty() || !problem_of_text(name).empty()) return invalid(where + ": a node's name must be UTF-8 and not empty");
        if (!known.contains(name)) TRY(read_step(form, node, where, name));
      }
    }
    for (std::size_t at = 0; nodes->is_array() && at < nodes->size(); ++at) {
      const Json& node = (*nodes)[at];
      const std::string where = fmt::format("{}[{}]", fields.place("nodes"), at);
      if (node.is_null()) return invalid(where + ": must be a step, is null");
      if (node.is_string() && known.contains(node.get_ref<const std::string&>())) continue;
      TRY(read_step(form, node, where, ""));
    }
    if (strict && form.steps.size() > before)
      return invalid(fmt::format("{}: node '{}' has no entry in script_specs", fields.place("nodes"), named(form.steps[before].name)));
  }
  if (const Json* edges = fields.find("edges")) {
    if (!edges->is_array()) return fields.wrong("edges", "a list of pairs");
    form.says_order = true;
    for (std::size_t at = 0; at < edges->size(); ++at) TRY(read_edge(form, (*edges)[at], fmt::format("{}[{}]", fields.place("edges"), at)));
  }
  return {};
}

}  // namespace

Result<PipelineForm> form_of(const Json& configuration) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(configuration, "", "a pipeline's configuration"));
  if (fields.find("script_specs")) {
    TRY_ASSIGN(const PipelineTestingSpec spec, pipeline_spec_from(configuration));
    return form_of(spec);
  }
  PipelineForm form;
  TRY(read_steps(form, fields));
  TRY(read_dag(form, fields, false));
  if (const Json* dag = fields.find("dag")) {
    TRY_ASSIGN(const SpecFields inner, SpecFields::of(*dag, "dag", "it"));
    TRY(read_steps(form, inner));
    TRY(read_dag(form, inner, false));
  }
  return form;
}

Result<PipelineForm> form_of(const PipelineTestingSpec& spec) {
  PipelineForm form;
  for (std::size_t at = 0; at < spec.script_specs.size(); ++at) {
    const ScriptExecutionSpec& script = spec.script_specs[at];
    PipelineForm::Step step{.name = at < spec.nodes.size() ? spec.nodes[at] : script.step(), .spec = script, .also = script.step()};
    step.spec.step_name = step.name;
    form.steps.push_back(std::move(step));
  }
  if (spec.dag) {
    TRY_ASSIGN(const SpecFields fields, SpecFields::of(*spec.dag, "dag", "it"));
    TRY(read_dag(form, fields, !spec.script_specs.empty()));
    if (form.steps.empty()) TRY(read_steps(form, fields));
  }
  for (std::size_t at = 0; at < spec.data_flow_specs.size(); ++at) {
    const DataFlowSpec& flow = spec.data_flow_specs[at];
    form.says_order = true;
    form.links.push_back({.from = flow.from_step,
                          .to = flow.to_step,
                          .place = fmt::format("data_flow_specs[{}]", at),
                          .path = flow.data_path.value_or(""),
                          .from_output = flow.from_output.value_or(""),
                          .to_input = flow.to_input.value_or("")});
  }
  return form;
}

}  // namespace casemate::runtime
