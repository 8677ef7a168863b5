#include "testplan/results_json.h"

#include <ctime>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/terminal.h"
#include "testplan/checks.h"

namespace casemate {
namespace {

constexpr int kFormat = 1;

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(to_utf8(text)); }

// RFC 3339, UTC, with milliseconds; null for what no calendar has.
Json moment(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  if (unix_ms <= 0 || ::gmtime_r(&seconds, &parts) == nullptr || parts.tm_year > 8099) return nullptr;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, parts.tm_sec, unix_ms % 1000);
}

std::string_view type_word(PlanStep::Type type) {
  switch (type) {
    case PlanStep::Type::command:
      return "command";
    case PlanStep::Type::assertion:
      return "assertion";
    case PlanStep::Type::setup:
      return "setup";
    case PlanStep::Type::teardown:
      return "teardown";
    case PlanStep::Type::verification:
      break;
  }
  return "verification";
}

Json changes_json(const std::vector<Change>& changes) {
  Json list = Json::array();
  for (const Change& change : changes) {
    Json entry = Json::object();
    put_name(entry, "path", change.path);
    entry["kind"] = word(change.kind);
    entry["type"] = word(change.type);
    if (change.kind != Change::Kind::deleted) {
      entry["mode"] = fmt::format("{:04o}", change.mode);
      if (change.type == Change::Type::file) entry["size"] = change.size;
      if (change.type == Change::Type::file) entry["digest"] = text_or_null(change.digest);
      if (change.type == Change::Type::symlink) put_name(entry, "link_target", change.link_target);
      if (change.type == Change::Type::skipped) entry["reason"] = to_utf8(change.reason);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json names_and_values(const std::map<std::string, std::string>& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[to_utf8(name)] = to_utf8(value);
  return object;
}

void put_output(Json& object, const std::string& key, const std::string& bytes, const Normaliser& normaliser) {
  std::string text = to_utf8(bytes);
  if (text != bytes) object[key + "_base64"] = base64(bytes);
  object[key] = std::move(text);
  object[key + "_normalised"] = normaliser.apply(bytes);
}

// What a step and a case's own command have in common.
void put_ended(Json& object, const StepResult& result, const Normaliser& normaliser) {
  const auto code = exit_code(result);
  object["return_code"] = code ? Json(*code) : Json(nullptr);
  object["outcome"] = result.outcome ? Json(to_utf8(words(*result.outcome))) : Json(nullptr);
  put_output(object, "stdout", result.out, normaliser);
  put_output(object, "stderr", result.err, normaliser);
  object["output_truncated"] = result.truncated;
  object["environment"] = names_and_values(result.environment);
  object["values"] = names_and_values(result.values);
  object["changed_files"] = changes_json(result.changes);
  object["services"] = Json::array();
  for (const Leftover& process : result.services) object["services"].push_back({{"pid", process.pid}, {"name", to_utf8(process.name)}});
  object["resources"] = result.outcome ? resources_json(result.resources) : Json(nullptr);
  object["attempts"] = result.attempts;
}

Json step_json(const PlanStep& step, const StepResult& result, const Normaliser& normaliser) {
  Json object = {{"id", to_utf8(step.id)},
                 {"type", type_word(step.type)},
                 {"description", to_utf8(step.description)},
                 {"command", text_or_null(step.command)},
                 {"status", word(result.status)},
                 {"error_message", text_or_null(result.reason)},
                 {"duration_ms", milliseconds(result.resources.wall)}};
  put_ended(object, result, normaliser);
  return object;
}

Json steps_json(const std::vector<PlanStep>& steps, const std::vector<StepResult>& results, std::optional<std::size_t> but,
                const Normaliser& normaliser) {
  static const StepResult kNone;
  Json list = Json::array();
  for (std::size_t at = 0; at < steps.size(); ++at) {
    if (at != but) list.push_back(step_json(steps[at], at < results.size() ? results[at] : kNone, normaliser));
  }
  return list;
}

Json case_json(const PlanCase& one, const CaseResult& result, const Normaliser& normaliser) {
  static const StepResult kNone;
  const bool ran = one.main && *one.main < result.steps.size();
  Json object = {{"id", to_utf8(one.id)}, {"name", to_utf8(one.name)}, {"tags", Json::array()}};
  for (const std::string& tag : one.tags) object["tags"].push_back(to_utf8(tag));
  object["command_line"] = one.main && *one.main < one.steps.size() ? Json(to_utf8(one.steps[*one.main].command)) : Json(nullptr);
  object["status"] = word(result.status);
  object["error_message"] = text_or_null(result.reason);
  if (!result.difference.empty()) object["difference"] = to_utf8(result.difference);
  object["duration_ms"] = milliseconds(result.took);
  put_ended(object, ran ? result.steps[*one.main] : kNone, normaliser);
  object["steps"] = steps_json(one.steps, result.steps, one.main, normaliser);
  return object;
}

Json totals_json(const PlanResult& result) {
  const PlanTotals sum = totals(result);
  return {{"total", sum.total},
          {"passed", sum.passed},
          {"failed", sum.failed},
          {"error", sum.error},
          {"skipped", sum.skipped},
          {"not_run", sum.not_run},
          {"duration_ms", milliseconds(result.took)}};
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // EVP_EncodeBlock(3) ends it with a NUL
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

Json results_json(const TestPlan& plan, const PlanResult& result, const Normaliser& normaliser) {
  static const CaseResult kNone;
  Json results = {{"format", kFormat},
                  {"casemate", CASEMATE_VERSION},
                  {"plan",
                   {{"id", text_or_null(plan.id)},
                    {"tool_name", to_utf8(plan.tool)},
                    {"version", text_or_null(plan.version)},
                    {"description", to_utf8(plan.description)}}},
                  {"run", text_or_null(result.run)},
                  {"started_at", moment(result.started_ms)},
                  {"finished_at", moment(result.started_ms > 0 ? result.started_ms + result.took.count() / 1000 : 0)},
                  {"executor", text_or_null(result.executor)},
                  {"image", text_or_null(result.image)},
                  {"image_digest", text_or_null(result.image_digest)},
                  {"problem", text_or_null(result.problem)},
                  {"notes", Json::array()},
                  {"totals", totals_json(result)},
                  {"setup", steps_json(plan.setup, result.setup, std::nullopt, normaliser)},
                  {"cases", Json::array()},
                  {"teardown", steps_json(plan.teardown, result.teardown, std::nullopt, normaliser)}};
  for (const std::string& note : plan.notes) results["notes"].push_back(to_utf8(note));
  for (std::size_t at = 0; at < plan.cases.size(); ++at)
    results["cases"].push_back(case_json(plan.cases[at], at < result.cases.size() ? result.cases[at] : kNone, normaliser));
  return results;
}

std::string results_text(const Json& results) { return results.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace casemate
