// Results back from their JSON: the declarations are in models.h.
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "runtime/models.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

// A text as a script may have left it: it may be empty and hold NUL bytes.
Result<std::string> any_text(const SpecFields& fields, const char* key) {
  const Json* value = fields.find(key);
  if (!value) return "";
  if (!value->is_string()) return fields.wrong(key, "a text");
  TRY(check_value(*value, fields.place(key)));
  return value->get<std::string>();
}

Result<std::optional<std::string>> any_optional_text(const SpecFields& fields, const char* key) {
  if (!fields.find(key)) return std::nullopt;
  TRY_ASSIGN(auto text, any_text(fields, key));
  return std::optional(std::move(text));
}

Result<std::vector<std::string>> any_texts(const SpecFields& fields, const char* key) {
  std::vector<std::string> texts;
  const Json* list = fields.find(key);
  if (!list) return texts;
  if (!list->is_array()) return fields.wrong(key, "a list of texts");
  TRY(check_value(*list, fields.place(key)));
  for (const Json& text : *list) {
    if (!text.is_string()) return fields.wrong(key, "a list of texts");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

Result<Outcome> outcome_at(const SpecFields& result) {
  Outcome outcome;
  const Json* written = result.find("outcome");
  if (!written) return outcome;
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(*written, result.place("outcome"), "an outcome"));
  TRY_ASSIGN(const std::string kind, fields.text("kind"));
  const auto known = outcome_kind(kind);
  if (!known) return fail(ErrorCode::invalid_input, fmt::format("{}: '{}' is no outcome", fields.place("kind"), named(kind)));
  outcome.kind = *known;
  if (const Json* code = fields.find("code")) {
    if (!code->is_number_integer() || code->get<std::int64_t>() < 0 || code->get<std::int64_t>() > std::numeric_limits<int>::max())
      return fields.wrong("code", "a whole number from 0");
    outcome.code = code->get<int>();
  }
  TRY_ASSIGN(outcome.step, any_text(fields, "step"));
  TRY_ASSIGN(outcome.detail, any_text(fields, "detail"));
  return outcome;
}

Result<ScriptTestResult> script_result_at(const Json& json, const std::string& where) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, where, "a script's result"));
  ScriptTestResult result;
  TRY_ASSIGN(result.script_name, any_text(fields, "script_name"));
  TRY_ASSIGN(result.success, fields.flag("success", false));
  if (const Json* seconds = fields.find("execution_time")) {
    if (!seconds->is_number() || !std::isfinite(seconds->get<double>())) return fields.wrong("execution_time", "a finite number");
    result.execution_time = seconds->get<double>();
  }
  TRY_ASSIGN(result.has_main_function, fields.flag("has_main_function", false));
  TRY_ASSIGN(result.error_message, any_optional_text(fields, "error_message"));
  TRY_ASSIGN(result.step_name, any_text(fields, "step_name"));
  TRY_ASSIGN(result.skipped, any_optional_text(fields, "skipped"));
  TRY_ASSIGN(result.traceback, any_text(fields, "traceback"));
  TRY_ASSIGN(result.standard_output, any_text(fields, "standard_output"));
  TRY_ASSIGN(result.standard_error, any_text(fields, "standard_error"));
  TRY_ASSIGN(result.outcome, outcome_at(fields));
  if (const Json* peak = fields.find("peak_memory_bytes")) {
    if (!peak->is_number_integer() || peak->get<std::int64_t>() < 0) return fields.wrong("peak_memory_bytes", "a whole number from 0");
    result.peak_memory_bytes = peak->get<std::uint64_t>();
  }
  TRY_ASSIGN(result.outputs, any_texts(fields, "outputs"));
  TRY_ASSIGN(result.notes, any_texts(fields, "notes"));
  return result;
}

Result<std::vector<DataReport>> reports_at(const SpecFields& fields, const char* key) {
  std::vector<DataReport> reports;
  const Json* list = fields.find(key);
  if (!list) return reports;
  if (!list->is_array()) return fields.wrong(key, "a list of what data holds");
  TRY(check_value(*list, fields.place(key)));
  for (const Json& one : *list) {
    auto report = data_report_from(nlohmann::json(one));
    if (!report) return fail(ErrorCode::invalid_input, fmt::format("{}[{}]: {}", fields.place(key), reports.size(), report.error().what));
    reports.push_back(std::move(*report));
  }
  return reports;
}

}  // namespace

Result<ScriptTestResult> script_result_from(const Json& json) { return script_result_at(json, ""); }

Result<DataCompatibilityResult> compatibility_result_from(const Json& json) {
  TRY_ASSIGN(const SpecFields fields, SpecFields::of(json, "", "a result of compatibility"));
  DataCompatibilityResult result;
  TRY_ASSIGN(result.script_a, any_text(fields, "script_a"));
  TRY_ASSIGN(result.script_b, any_text(fields, "script_b"));
  TRY_ASSIGN(result.compatible, fields.flag("compatible", false));
  TRY_ASSIGN(result.data_format_a, any_optional_text(fields, "data_format_a"));
  TRY_ASSIGN(result.data_format_b, any_optional_text(fields, "data_format_b"));
  TRY_ASSIGN(result.compatibility_issues, any_texts(fields, "compatibility_issues"));
  TRY_ASSIGN(result.data_a, reports_at(fields, "data_a"));
  TRY_ASSIGN(result.data_b, reports_at(fields, "data_b"));
  if (const Json* a = fields.find("result_a")) {
    TRY_ASSIGN(result.result_a, script_result_at(*a, "result_a"));
  }
  if (const Json* b = fields.find("result_b")) {
    TRY_ASSIGN(result.result_b, script_result_at(*b, "result_b"));
  }
  return result;
}

}  // namespace casemate::runtime
