// The JSON face of a report.
#include <fmt/format.h>

#include "apps/script/report.h"
#include "base/terminal.h"
#include "report/result_json.h"

namespace casemate {
namespace {

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
  if (report.deterministic) details["cached"] = report.cached;
  if (report.image) {
    details["image"] = {{"name", to_utf8(report.image->name)}, {"digest", nullptr}};
    if (!report.image->digest.empty()) details["image"]["digest"] = report.image->digest;
  }
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
