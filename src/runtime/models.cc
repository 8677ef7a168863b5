#include "runtime/models.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/units.h"
#include "runtime/script_path.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

constexpr double kLongestTimeout = 10.0 * 365 * 24 * 3600;
constexpr std::uint64_t kLeastMemory = 1u << 20;

Result<ScriptExecutionSpec> script_spec_at(const Json& json, const std::string& where, const std::string& node = "") {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, where, "a script's spec"));
  ScriptExecutionSpec spec;
  TRY_ASSIGN(spec.script_name, fields.text("script_name"));
  spec.script_name = bare_script_name(std::move(spec.script_name));
  TRY_ASSIGN(const auto step, fields.optional_text("step_name"));
  spec.step_name = step && !step->empty() ? *step : node;
  TRY_ASSIGN(spec.script_path, fields.optional_text("script_path"));
  if (spec.script_path && spec.script_path->empty()) spec.script_path.reset();
  TRY_ASSIGN(spec.input_paths, fields.named_texts("input_paths"));
  TRY_ASSIGN(spec.output_paths, fields.named_texts("output_paths"));
  TRY_ASSIGN(spec.environ_vars, fields.variables("environ_vars"));
  TRY_ASSIGN(spec.job_args, fields.values("job_args"));
  TRY_ASSIGN(spec.last_updated, fields.optional_text("last_updated"));
  TRY_ASSIGN(spec.user_notes, fields.optional_text("user_notes"));
  return spec;
}

Result<DataFlowSpec> data_flow_at(const Json& json, const std::string& where) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, where, "a data flow"));
  DataFlowSpec flow;
  TRY_ASSIGN(flow.from_step, fields.text("from_step"));
  TRY_ASSIGN(flow.to_step, fields.text("to_step"));
  TRY_ASSIGN(flow.data_path, fields.optional_text("data_path"));
  TRY_ASSIGN(flow.from_output, fields.optional_text("from_output"));
  TRY_ASSIGN(flow.to_input, fields.optional_text("to_input"));
  return flow;
}

Result<void> read_script_specs(PipelineTestingSpec& spec, const SpecFields& fields) {
  const Json* scripts = fields.find("script_specs");
  if (!scripts) return {};
  if (scripts->is_array()) {
    for (std::size_t at = 0; at < scripts->size(); ++at) {
      TRY_ASSIGN(auto script, script_spec_at((*scripts)[at], fmt::format("{}[{}]", fields.place("script_specs"), at)));
      spec.script_specs.push_back(std::move(script));
    }
    return {};
  }
  if (!scripts->is_object()) return fields.wrong("script_specs", "a list of specs, or an object of them by node");
  spec.by_node = true;
  for (const auto& [node, written] : scripts->get_ref<const Json::object_t&>()) {
    const std::string where = fmt::format("{}.{}", fields.place("script_specs"), named(node));
    if (const std::string problem = problem_of_text(node); !problem.empty() || node.empty())
      return fail(ErrorCode::invalid_input, fmt::format("{}: a node's name {}", where, node.empty() ? "must not be empty" : problem));
    TRY_ASSIGN(auto script, script_spec_at(written, where, node));
    spec.script_specs.push_back(std::move(script));
    spec.nodes.push_back(node);
  }
  return {};
}

Result<PipelineTestingSpec> pipeline_spec_at(const Json& json, const std::string& where) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, where, "a pipeline's spec"));
  PipelineTestingSpec spec;
  TRY_ASSIGN(const auto name, fields.optional_text("pipeline_name"));
  spec.pipeline_name = name.value_or("");
  TRY(read_script_specs(spec, fields));
  if (const Json* flows = fields.find("data_flow_specs")) {
    if (!flows->is_array()) return fields.wrong("data_flow_specs", "a list");
    for (std::size_t at = 0; at < flows->size(); ++at) {
      TRY_ASSIGN(auto flow, data_flow_at((*flows)[at], fmt::format("{}[{}]", fields.place("data_flow_specs"), at)));
      spec.data_flow_specs.push_back(std::move(flow));
    }
  }
  if (fields.find("dag")) {
    TRY_ASSIGN(spec.dag, fields.values("dag"));
  }
  TRY_ASSIGN(spec.test_workspace_root, fields.optional_text("test_workspace_root"));
  TRY_ASSIGN(spec.last_updated, fields.optional_text("last_updated"));
  return spec;
}

Result<double> timeout_of(const SpecFields& fields) {
  const Json* value = fields.find("timeout_seconds");
  if (!value) return RuntimeTestingConfiguration{}.timeout_seconds;
  const double seconds = value->is_number() ? value->get<double>() : -1;
  if (!(seconds > 0 && seconds <= kLongestTimeout)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: must be a number of seconds above 0, and at most ten years, is {}", fields.place("timeout_seconds"),
                            value->is_number() ? value->dump() : std::string(kind_of(*value))));
  }
  return seconds;
}

Result<std::string> log_level_of(const SpecFields& fields) {
  TRY_ASSIGN(const auto written, fields.optional_text("log_level"));
  if (!written) return RuntimeTestingConfiguration{}.log_level;
  if (log_level_rank(*written) < std::size(kLogLevels)) return *written;
  return fail(ErrorCode::invalid_input,
              fmt::format("{}: must be DEBUG, INFO, WARNING, ERROR or CRITICAL, is '{}'", fields.place("log_level"), named(*written)));
}

// Whoever made the JSON, by parsing or from numbers of a program's own.
bool is_count(const Json& value) { return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0); }

Result<std::optional<std::uint64_t>> memory_of(const SpecFields& fields) {
  const Json* value = fields.find("memory_bytes");
  if (!value) return std::nullopt;
  std::uint64_t bytes = 0;
  if (const auto* text = value->get_ptr<const std::string*>()) {
    const auto parsed = parse_bytes(*text);
    if (!parsed) return fail(ErrorCode::invalid_input, fmt::format("{}: {}", fields.place("memory_bytes"), parsed.error().what));
    bytes = *parsed;
  } else if (is_count(*value)) {
    bytes = value->get<std::uint64_t>();
  } else {
    return fields.wrong("memory_bytes", "a whole number of bytes or a text like \"2G\"");
  }
  if (bytes < kLeastMemory || bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return fail(ErrorCode::invalid_input, fmt::format("{}: must be at least 1 MiB, is {} bytes", fields.place("memory_bytes"), bytes));
  return bytes;
}

Result<unsigned> slots_of(const SpecFields& fields) {
  constexpr std::uint64_t kMostSlots = 1000;
  const Json* value = fields.find("slots");
  if (!value) return 0u;
  if (!is_count(*value)) return fields.wrong("slots", "a whole number from 0 to 1000");
  if (const auto slots = value->get<std::uint64_t>(); slots > kMostSlots)
    return fail(ErrorCode::invalid_input, fmt::format("{}: must be a whole number from 0 to 1000, is {}", fields.place("slots"), slots));
  return value->get<unsigned>();
}

Result<std::optional<std::string>> text_or_nothing(const SpecFields& fields, const char* key) {
  TRY_ASSIGN(auto text, fields.optional_text(key));
  if (text && text->empty()) return fields.wrong(key, "a text that is not empty, or null");
  return text;
}

Json texts_json(const NamedTexts& texts) {
  Json::object_t members;  // names are unique: looking for each would take quadratic time
  for (const auto& [name, text] : texts) members.emplace_back(to_utf8(name), to_utf8(text));
  return Json(std::move(members));
}

Json text_json(const std::optional<std::string>& text) { return text ? Json(to_utf8(*text)) : Json(nullptr); }

Json list_json(const std::vector<std::string>& texts) {
  Json list = Json::array();
  for (const std::string& text : texts) list.push_back(to_utf8(text));
  return list;
}

Json flow_json(const DataFlowSpec& flow) {
  Json json = {{"from_step", to_utf8(flow.from_step)}, {"to_step", to_utf8(flow.to_step)}};
  if (flow.data_path) json["data_path"] = to_utf8(*flow.data_path);
  if (flow.from_output) json["from_output"] = to_utf8(*flow.from_output);
  if (flow.to_input) json["to_input"] = to_utf8(*flow.to_input);
  return json;
}

Json outcome_json(const Outcome& outcome) {
  return {{"kind", word(outcome.kind)},
          {"code", outcome.code},
          {"text", to_utf8(words(outcome))},
          {"step", to_utf8(outcome.step)},
          {"detail", to_utf8(outcome.detail)}};
}

Json reports_json(const std::vector<DataReport>& reports) {
  Json list = Json::array();
  for (const DataReport& report : reports) list.push_back(to_json(report));
  return list;
}

template <class Value>
Json by_name(const std::vector<std::pair<std::string, Value>>& values) {
  Json::object_t members;
  for (const auto& [name, value] : values) members.emplace_back(to_utf8(name), to_json(value));
  return Json(std::move(members));
}

// 300, not 300.0: what a person wrote.
Json seconds_json(double seconds) {
  const bool whole = seconds == std::floor(seconds) && std::abs(seconds) < 1e15;
  return whole ? Json(static_cast<std::int64_t>(seconds)) : Json(seconds);
}

}  // namespace

std::size_t log_level_rank(std::string_view level) {
  const auto is_level = [&](std::string_view one) {
    return std::ranges::equal(level, one, {}, [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  };
  return static_cast<std::size_t>(std::ranges::find_if(kLogLevels, is_level) - std::begin(kLogLevels));
}

Result<ScriptExecutionSpec> script_spec_from(const Json& json) { return script_spec_at(json, ""); }
Result<PipelineTestingSpec> pipeline_spec_from(const Json& json) { return pipeline_spec_at(json, ""); }

Result<RuntimeTestingConfiguration> configuration_from(const Json& json) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, "", "a configuration"));
  RuntimeTestingConfiguration configuration;
  if (const Json* pipeline = fields.find("pipeline_spec")) {
    TRY_ASSIGN(configuration.pipeline_spec, pipeline_spec_at(*pipeline, "pipeline_spec"));
    if (const auto& root = configuration.pipeline_spec->test_workspace_root; root && !root->empty()) configuration.workspace_dir = *root;
  }
  if (fields.find("workspace_dir")) {
    TRY_ASSIGN(configuration.workspace_dir, fields.text("workspace_dir"));
  }
  TRY_ASSIGN(configuration.timeout_seconds, timeout_of(fields));
  TRY_ASSIGN(configuration.log_level, log_level_of(fields));
  TRY_ASSIGN(configuration.enable_logging, fields.flag("enable_logging", configuration.enable_logging));
  TRY_ASSIGN(configuration.cleanup_after_test, fields.flag("cleanup_after_test", configuration.cleanup_after_test));
  TRY_ASSIGN(configuration.preserve_outputs, fields.flag("preserve_outputs", configuration.preserve_outputs));
  TRY_ASSIGN(configuration.test_individual_scripts, fields.flag("test_individual_scripts", configuration.test_individual_scripts));
  TRY_ASSIGN(configuration.test_data_compatibility, fields.flag("test_data_compatibility", configuration.test_data_compatibility));
  TRY_ASSIGN(configuration.test_pipeline_flow, fields.flag("test_pipeline_flow", configuration.test_pipeline_flow));
  TRY_ASSIGN(configuration.script_directories, fields.texts("script_directories"));
  TRY_ASSIGN(configuration.memory_bytes, memory_of(fields));
  TRY_ASSIGN(configuration.python, text_or_nothing(fields, "python"));
  TRY_ASSIGN(configuration.requirements, text_or_nothing(fields, "requirements"));
  TRY_ASSIGN(configuration.image, text_or_nothing(fields, "image"));
  TRY_ASSIGN(configuration.slots, slots_of(fields));
  return configuration;
}

Result<MainParameters> main_parameters_from(const Json& json) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, "", "main's parameters"));
  MainParameters parameters;
  TRY_ASSIGN(parameters.input_paths, fields.named_texts("input_paths"));
  TRY_ASSIGN(parameters.output_paths, fields.named_texts("output_paths"));
  TRY_ASSIGN(parameters.environ_vars, fields.variables("environ_vars"));
  TRY_ASSIGN(parameters.job_args, fields.values("job_args"));
  return parameters;
}

Json to_json(const ScriptExecutionSpec& spec) {
  return {{"script_name", to_utf8(spec.script_name)},
          {"step_name", to_utf8(spec.step_name)},
          {"script_path", text_json(spec.script_path)},
          {"input_paths", texts_json(spec.input_paths)},
          {"output_paths", texts_json(spec.output_paths)},
          {"environ_vars", texts_json(spec.environ_vars)},
          {"job_args", spec.job_args},
          {"last_updated", text_json(spec.last_updated)},
          {"user_notes", text_json(spec.user_notes)}};
}

Json to_json(const PipelineTestingSpec& spec) {
  Json scripts = spec.by_node ? Json::object() : Json::array();
  for (std::size_t at = 0; at < spec.script_specs.size(); ++at) {
    const ScriptExecutionSpec& script = spec.script_specs[at];
    if (spec.by_node) {
      scripts.get_ref<Json::object_t&>().emplace_back(to_utf8(at < spec.nodes.size() ? spec.nodes[at] : script.step()), to_json(script));
    } else {
      scripts.push_back(to_json(script));
    }
  }
  Json flows = Json::array();
  for (const DataFlowSpec& flow : spec.data_flow_specs) flows.push_back(flow_json(flow));
  return {{"pipeline_name", to_utf8(spec.pipeline_name)},
          {"script_specs", std::move(scripts)},
          {"data_flow_specs", std::move(flows)},
          {"dag", spec.dag ? *spec.dag : Json(nullptr)},
          {"test_workspace_root", text_json(spec.test_workspace_root)},
          {"last_updated", text_json(spec.last_updated)}};
}

Json to_json(const RuntimeTestingConfiguration& configuration) {
  return {{"workspace_dir", to_utf8(configuration.workspace_dir)},
          {"timeout_seconds", seconds_json(configuration.timeout_seconds)},
          {"enable_logging", configuration.enable_logging},
          {"log_level", to_utf8(configuration.log_level)},
          {"cleanup_after_test", configuration.cleanup_after_test},
          {"preserve_outputs", configuration.preserve_outputs},
          {"pipeline_spec", configuration.pipeline_spec ? to_json(*configuration.pipeline_spec) : Json(nullptr)},
          {"test_individual_scripts", configuration.test_individual_scripts},
          {"test_data_compatibility", configuration.test_data_compatibility},
          {"test_pipeline_flow", configuration.test_pipeline_flow},
          {"script_directories", list_json(configuration.script_directories)},
          {"memory_bytes", configuration.memory_bytes ? Json(*configuration.memory_bytes) : Json(nullptr)},
          {"python", text_json(configuration.python)},
          {"requirements", text_json(configuration.requirements)},
          {"image", text_json(configuration.image)},
          {"slots", configuration.slots}};
}

Json to_json(const MainParameters& parameters) {
  return {{"input_paths", texts_json(parameters.input_paths)},
          {"output_paths", texts_json(parameters.output_paths)},
          {"environ_vars", texts_json(parameters.environ_vars)},
          {"job_args", parameters.job_args}};
}

Json to_json(const ScriptTestResult& result) {
  return {{"script_name", to_utf8(result.script_name)},
          {"success", result.success},
          {"execution_time", result.execution_time},
          {"has_main_function", result.has_main_function},
          {"error_message", text_json(result.error_message)},
          {"step_name", to_utf8(result.step_name)},
          {"skipped", text_json(result.skipped)},
          {"traceback", to_utf8(result.traceback)},
          {"standard_output", to_utf8(result.standard_output)},
          {"standard_error", to_utf8(result.standard_error)},
          {"outcome", outcome_json(result.outcome)},
          {"peak_memory_bytes", result.peak_memory_bytes ? Json(*result.peak_memory_bytes) : Json(nullptr)},
          {"outputs", list_json(result.outputs)},
          {"notes", list_json(result.notes)}};
}

Json to_json(const DataCompatibilityResult& result) {
  return {{"script_a", to_utf8(result.script_a)},
          {"script_b", to_utf8(result.script_b)},
          {"compatible", result.compatible},
          {"data_format_a", text_json(result.data_format_a)},
          {"data_format_b", text_json(result.data_format_b)},
          {"compatibility_issues", list_json(result.compatibility_issues)},
          {"data_a", reports_json(result.data_a)},
          {"data_b", reports_json(result.data_b)},
          {"result_a", result.result_a ? to_json(*result.result_a) : Json(nullptr)},
          {"result_b", result.result_b ? to_json(*result.result_b) : Json(nullptr)}};
}

Json to_json(const PipelineResult& result) {
  return {{"pipeline_success", result.pipeline_success},
          {"script_results", by_name(result.script_results)},
          {"data_flow_results", by_name(result.data_flow_results)},
          {"errors", list_json(result.errors)}};
}

}  // namespace casemate::runtime
