#include "report/result_json.h"

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

template <class T>
Json number(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

Json captured_json(const JobResult& result) {
  Json list = Json::array();
  for (const Change& change : result.changes) {
    if (change.kind == Change::Kind::deleted || change.type == Change::Type::skipped) continue;
    Json entry = Json::object();
    put_name(entry, "path", change.path);
    entry["type"] = word(change.type);
    entry["kind"] = word(change.kind);
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

}  // namespace

double milliseconds(std::chrono::microseconds duration) { return static_cast<double>(duration.count()) / 1000; }

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

void put_name(Json& object, const std::string& key, const std::string& name) {
  std::string text = to_utf8(name);
  if (text != name) object[key + "_bytes"] = hex(name);
  object[key] = std::move(text);
}

Json remote_json(const RemoteTimes& times) {
  const auto told = [](const std::optional<std::chrono::microseconds>& time) { return time ? Json(milliseconds(*time)) : Json(nullptr); };
  return Json{{"worker", times.worker.empty() ? Json(nullptr) : Json(to_utf8(times.worker))},
              {"queue_ms", told(times.queue)},
              {"fetch_ms", told(times.fetch)},
              {"run_ms", told(times.run)},
              {"upload_ms", told(times.upload)},
              {"sent_bytes", times.sent_bytes},
              {"attempts", times.attempts},
              {"cached", times.cached}};
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
  if (result.remote) details["remote"] = remote_json(*result.remote);
}

}  // namespace casemate
