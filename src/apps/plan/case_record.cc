#include "apps/plan/case_record.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/result_json.h"

namespace casemate {
namespace {

constexpr std::size_t kInline = 2 << 10;

// ---- writing

// Keeps what is too long or no text.
Result<Json> keep_bytes(std::string_view bytes, PlanArtifact artifact, PlanHistory& history, std::vector<PlanArtifact>& artifacts) {
  if (bytes.size() <= kInline && to_utf8(bytes) == bytes) return Json{{"text", bytes}};
  TRY_ASSIGN(artifact.digest, history.keep(bytes));
  artifact.bytes = bytes.size();
  Json place = {{"digest", artifact.digest}};
  artifacts.push_back(std::move(artifact));
  return place;
}

Json changes_json(const std::vector<Change>& changes) {
  Json list = Json::array();
  for (const Change& change : changes) {
    list.push_back({{"kind", static_cast<int>(change.kind)},
                    {"type", static_cast<int>(change.type)},
                    {"path", to_utf8(change.path)},
                    {"size", change.size},
                    {"mode", change.mode},
                    {"digest", change.digest},
                    {"link", to_utf8(change.link_target)},
                    {"reason", to_utf8(change.reason)}});
  }
  return list;
}

Json texts_json(const std::map<std::string, std::string>& texts) {
  Json object = Json::object();
  for (const auto& [name, value] : texts) object[to_utf8(name)] = to_utf8(value);
  return object;
}

Json outcome_json(const std::optional<Outcome>& outcome) {
  if (!outcome) return nullptr;
  return {{"kind", word(outcome->kind)}, {"code", outcome->code}, {"step", to_utf8(outcome->step)}, {"detail", to_utf8(outcome->detail)}};
}

Result<Json> step_json(const std::string& case_id, const std::string& step_id, const StepResult& result, PlanHistory& history,
                       std::vector<PlanArtifact>& artifacts) {
  Json json = {{"status", word(result.status)},
               {"reason", to_utf8(result.reason)},
               {"outcome", outcome_json(result.outcome)},
               {"wall_us", result.resources.wall.count()},
               {"user_us", result.resources.user_cpu.count()},
               {"system_us", result.resources.system_cpu.count()},
               {"memory", nullptr},
               {"truncated", result.truncated},
               {"attempts", result.attempts}};
  if (result.resources.peak_memory_bytes) json["memory"] = *result.resources.peak_memory_bytes;
  TRY_ASSIGN(json["stdout"], keep_bytes(result.out, {case_id, step_id, "stdout", "", "", 0}, history, artifacts));
  TRY_ASSIGN(json["stderr"], keep_bytes(result.err, {case_id, step_id, "stderr", "", "", 0}, history, artifacts));
  if (!result.changes.empty()) json["changes"] = changes_json(result.changes);
  if (!result.values.empty()) json["values"] = texts_json(result.values);
  if (!result.environment.empty()) json["environment"] = texts_json(result.environment);
  for (const Leftover& process : result.services) json["services"].push_back({{"pid", process.pid}, {"name", to_utf8(process.name)}});
  return json;
}

Result<Json> steps_json(const std::string& case_id, const std::vector<PlanStep>& steps, const std::vector<StepResult>& results,
                        PlanHistory& history, std::vector<PlanArtifact>& artifacts) {
  Json list = Json::array();
  for (std::size_t at = 0; at < results.size(); ++at) {
    TRY_ASSIGN(Json step, step_json(case_id, at < steps.size() ? steps[at].id : "", results[at], history, artifacts));
    list.push_back(std::move(step));
  }
  return list;
}

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// ---- reading: what is of another type counts as not there

std::string text_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t number_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

bool flag_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

const Json& part_of(const Json& object, const char* name) {
  static const Json kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

Result<std::string> bytes_of(const Json& place, const PlanHistory& history) {
  if (!place.is_object()) return std::string();
  const std::string digest = text_in(place, "digest");
  return digest.empty() ? Result<std::string>(text_in(place, "text")) : history.read(digest);
}

std::map<std::string, std::string> texts_of(const Json& object) {
  std::map<std::string, std::string> texts;
  if (!object.is_object()) return texts;
  for (const auto& [name, value] : object.items()) {
    if (value.is_string()) texts[name] = value.get<std::string>();
  }
  return texts;
}

std::vector<Change> changes_of(const Json& list) {
  std::vector<Change> changes;
  if (!list.is_array()) return changes;
  for (const Json& entry : list) {
    if (!entry.is_object()) continue;
    Change change;
    change.kind = static_cast<Change::Kind>(std::clamp<std::int64_t>(number_in(entry, "kind"), 0, 2));
    change.type = static_cast<Change::Type>(std::clamp<std::int64_t>(number_in(entry, "type"), 0, 3));
    change.path = text_in(entry, "path");
    change.size = static_cast<std::uint64_t>(std::max<std::int64_t>(number_in(entry, "size"), 0));
    change.mode = static_cast<std::uint32_t>(number_in(entry, "mode") & 07777);
    change.digest = text_in(entry, "digest");
    change.link_target = text_in(entry, "link");
    change.reason = text_in(entry, "reason");
    changes.push_back(std::move(change));
  }
  return changes;
}

std::optional<Outcome> outcome_of(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto kind = outcome_kind(text_in(object, "kind"));
  if (!kind) return std::nullopt;
  return Outcome{*kind, static_cast<int>(number_in(object, "code")), text_in(object, "step"), text_in(object, "detail")};
}

Result<StepResult> step_of(const Json& json, const PlanHistory& history) {
  if (!json.is_object()) return fail(ErrorCode::corrupt, "is no step");
  StepResult result;
  result.status = plan_status(text_in(json, "status")).value_or(PlanStatus::not_run);
  result.reason = text_in(json, "reason");
  result.outcome = outcome_of(part_of(json, "outcome"));
  result.resources.wall = std::chrono::microseconds(number_in(json, "wall_us"));
  result.resources.user_cpu = std::chrono::microseconds(number_in(json, "user_us"));
  result.resources.system_cpu = std::chrono::microseconds(number_in(json, "system_us"));
  if (number_in(json, "memory") > 0) result.resources.peak_memory_bytes = static_cast<std::uint64_t>(number_in(json, "memory"));
  result.truncated = flag_in(json, "truncated");
  result.attempts = static_cast<unsigned>(std::clamp<std::int64_t>(number_in(json, "attempts"), 0, 1'000'000));
  TRY_ASSIGN(result.out, bytes_of(part_of(json, "stdout"), history));
  TRY_ASSIGN(result.err, bytes_of(part_of(json, "stderr"), history));
  result.changes = changes_of(part_of(json, "changes"));
  result.values = texts_of(part_of(json, "values"));
  result.environment = texts_of(part_of(json, "environment"));
  const Json& services = part_of(json, "services");
  for (std::size_t at = 0; services.is_array() && at < services.size(); ++at) {
    if (services[at].is_object())
      result.services.push_back({static_cast<std::int32_t>(number_in(services[at], "pid")), text_in(services[at], "name")});
  }
  return result;
}

Result<std::vector<StepResult>> steps_of(const Json& list, const PlanHistory& history) {
  std::vector<StepResult> steps;
  if (!list.is_array()) return steps;
  for (const Json& entry : list) {
    TRY_ASSIGN(StepResult step, step_of(entry, history));
    steps.push_back(std::move(step));
  }
  return steps;
}

Result<Json> parse(const PlanCaseRow& row) {
  Json json = Json::parse(row.result, nullptr, false);
  if (!json.is_object())
    return fail(ErrorCode::corrupt, fmt::format("the database's row of '{}' can't be read: run the plan again", printable_name(row.id)));
  return json;
}

}  // namespace

Result<CaseRecord> record_of(const PlanCase& one, const CaseResult& result, PlanHistory& history) {
  CaseRecord record;
  record.row = {one.id, one.name, std::string(word(result.status)), result.reason, result.took.count(), ""};
  TRY_ASSIGN(Json steps, steps_json(one.id, one.steps, result.steps, history, record.artifacts));
  Json json = {{"format", 1}, {"steps", std::move(steps)}};
  if (!result.difference.empty()) json["difference"] = to_utf8(result.difference);
  record.row.result = text(json);
  return record;
}

Result<CaseResult> case_of(const PlanCaseRow& row, const PlanHistory& history) {
  TRY_ASSIGN(const Json json, parse(row));
  CaseResult result;
  result.status = plan_status(row.status).value_or(PlanStatus::not_run);
  result.reason = row.reason;
  result.took = std::chrono::microseconds(row.took_us);
  result.difference = text_in(json, "difference");
  TRY_ASSIGN(result.steps, steps_of(part_of(json, "steps"), history));
  return result;
}

Result<CaseRecord> record_of(const PlanRemainder& remainder, const std::string& plan, const TestPlan& read, PlanHistory& history) {
  CaseRecord record;
  record.artifacts.push_back({kRemainderId, "", "plan", "", plan, 0});
  Json json = {{"format", 1},
               {"problem", to_utf8(remainder.problem)},
               {"image_digest", to_utf8(remainder.image_digest)},
               {"strategy", to_utf8(remainder.strategy)},
               {"version", to_utf8(remainder.version)},
               {"cached", remainder.cached},
               {"notes", Json::array()}};
  for (const std::string& note : remainder.notes) json["notes"].push_back(to_utf8(note));
  TRY_ASSIGN(json["setup"], steps_json("", read.setup, remainder.setup, history, record.artifacts));
  TRY_ASSIGN(json["teardown"], steps_json("", read.teardown, remainder.teardown, history, record.artifacts));
  TRY_ASSIGN(json["install_log"], keep_bytes(remainder.install_log, {kRemainderId, "", "log", "", "", 0}, history, record.artifacts));
  record.row.id = kRemainderId;
  record.row.result = text(json);
  return record;
}

Result<PlanRemainder> remainder_of(const PlanCaseRow& row, const PlanHistory& history) {
  TRY_ASSIGN(const Json json, parse(row));
  PlanRemainder remainder;
  remainder.problem = text_in(json, "problem");
  remainder.image_digest = text_in(json, "image_digest");
  remainder.strategy = text_in(json, "strategy");
  remainder.version = text_in(json, "version");
  remainder.cached = flag_in(json, "cached");
  const Json& notes = part_of(json, "notes");
  for (std::size_t at = 0; notes.is_array() && at < notes.size(); ++at) {
    if (notes[at].is_string()) remainder.notes.push_back(notes[at].get<std::string>());
  }
  TRY_ASSIGN(remainder.setup, steps_of(part_of(json, "setup"), history));
  TRY_ASSIGN(remainder.teardown, steps_of(part_of(json, "teardown"), history));
  TRY_ASSIGN(remainder.install_log, bytes_of(part_of(json, "install_log"), history));
  return remainder;
}

}  // namespace casemate
