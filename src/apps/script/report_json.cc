// The JSON face of a report.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/script/report.h"
#include "base/terminal.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;  // keys in the order that py_test_runner's document has them

double milliseconds(std::chrono::microseconds duration) { return static_cast<double>(duration.count()) / 1000; }

template <class T>
Json number(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// A name the script chose: readable under `key`, and exact under `key`_bytes if it is not UTF-8.
void put_name(Json& object, const std::string& key, const std::string& name) {
  std::string text = to_utf8(name);
  if (text != name) object[key + "_bytes"] = hex(name);
  object[key] = std::move(text);
}

std::string_view kind_word(Change::Kind kind) {
  return kind == Change::Kind::created ? "created" : kind == Change::Kind::modified ? "modified" : "deleted";
}

std::string_view type_word(Change::Type type) {
  switch (type) {
    case Change::Type::file:
      return "file";
    case Change::Type::directory:
      return "directory";
    case Change::Type::symlink:
      return "symlink";
    case Change::Type::skipped:
      break;
  }
  return "skipped";
}

Json resources_json(const Resources& used) {
  return Json{{"wall_ms", milliseconds(used.wall)},
              {"user_cpu_ms", milliseconds(used.user_cpu)},
              {"system_cpu_ms", milliseconds(used.system_cpu)},
              {"peak_memory_bytes", number(used.peak_memory_bytes)},
              {"peak_pids", number(used.peak_pids)},
              {"read_bytes", number(used.read_bytes)},
              {"written_bytes", number(used.written_bytes)},
              {"major_faults", used.major_faults},
              {"minor_faults", used.minor_faults}};
}

Json captured_json(const JobResult& result) {
  Json list = Json::array();
  for (const Change& change : result.changes) {
    if (change.kind == Change::Kind::deleted || change.type == Change::Type::skipped) continue;
    Json entry = Json::object();
    put_name(entry, "path", change.path);
    entry["type"] = type_word(change.type);
    entry["kind"] = kind_word(change.kind);
    entry["mode"] = fmt::format("{:04o}", change.mode);
    if (change.type == Change::Type::file) {
      entry["size"] = change.size;
      entry["digest"] = change.digest.empty() ? Json(nullptr) : Json(change.digest);
    }
    if (change.type == Change::Type::symlink) put_name(entry, "link_target", change.link_target);
    list.push_back(std::move(entry));
  }
  return list;
}

Json skipped_json(const JobResult& result) {
  Json list = Json::array();
  for (const Change& change : result.changes) {
    if (change.type != Change::Type::skipped) continue;
    Json entry = Json::object();
    put_name(entry, "path", change.path);
    entry["reason"] = to_utf8(change.reason);
    list.push_back(std::move(entry));
  }
  return list;
}

Json deleted_json(const JobResult& result) {
  Json list = Json::array();
  for (const Change& change : result.changes) {
    if (change.kind != Change::Kind::deleted) continue;
    Json entry = Json::object();
    put_name(entry, "path", change.path);
    list.push_back(std::move(entry));
  }
  return list;
}

void put_result(Json& details, const JobResult& result) {
  details["outcome"] = to_utf8(words(result.outcome));
  details["resources"] = resources_json(result.resources);
  details["stdout"] = to_utf8(result.output.out);
  details["stderr"] = to_utf8(result.output.err);
  details["output_truncated"] = result.output.truncated;
  details["captured"] = captured_json(result);
  details["deleted"] = deleted_json(result);
  details["skipped"] = skipped_json(result);
  details["leftovers"] = Json::array();
  for (const Leftover& process : result.leftovers) details["leftovers"].push_back({{"pid", process.pid}, {"name", to_utf8(process.name)}});
}

Json notes_json(const ScriptReport& report) {
  Json list = Json::array();
  for (const std::string& note : report.notes) list.push_back(to_utf8(note));
  if (report.result) {
    for (const std::string& note : report.result->notes) list.push_back(to_utf8(note));
  }
  return list;
}

Json details_json(const ScriptReport& report) {
  Json details = Json::object();
  const JobResult* result = report.result ? &*report.result : nullptr;
  if (result) {
    if (const auto code = exit_code(result->outcome)) details["exit_code"] = *code;
  }
  details["raw_logs"] = to_utf8(result ? result->output.merged : report.installer_log);
  if (!report.reason.empty()) details["reason"] = report.reason;
  if (result) put_result(details, *result);
  if (report.environment) {
    const EnvironmentSummary& environment = *report.environment;
    details["environment"] = {{"python", to_utf8(environment.python)},
                              {"key", environment.key},
                              {"cached", environment.cached},
                              {"installer", to_utf8(environment.installer)}};
  }
  if (!report.results.empty()) put_name(details, "results", report.results);
  details["notes"] = notes_json(report);
  details["timings"] = Json::object();
  for (const auto& [phase, duration] : report.timings) details["timings"][std::string(phase) + "_ms"] = milliseconds(duration);
  return details;
}

}  // namespace

std::string to_json(const ScriptReport& report) {
  const bool success = report.error_type == ScriptErrorType::none;
  Json object = Json::object();
  object["status"] = success ? "success" : "error";
  if (!success) object["error_type"] = word(report.error_type);
  object["message"] = to_utf8(report.message);
  if (success) {
    object["captured_files"] = Json::array();
    if (report.result) {
      for (const std::string& path : captured_files(*report.result)) object["captured_files"].push_back(to_utf8(path));
    }
  }
  object["details"] = details_json(report);
  return object.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace casemate
