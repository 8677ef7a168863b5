#include "report/event_json.h"

#include <nlohmann/json.hpp>

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;
using Texts = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// One line: newlines within strings are escaped by JSON itself.
std::string line_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

void put(Json& json, const char* key, const std::string& text) {
  if (!text.empty()) json[key] = text;
}

void put(Json& json, const char* key, const Texts& texts) {
  if (!texts.empty()) json[key] = texts;
}

// Lists of pairs, not objects: keys may come twice, and their order is said.
void put(Json& json, const char* key, const Pairs& pairs) {
  for (const auto& [name, value] : pairs) json[key].push_back(Json::array({name, value}));
}

void put(Json& json, const char* key, bool flag) {
  if (flag) json[key] = true;
}

void put_unless(Json& json, const char* key, std::uint64_t number, std::uint64_t usual) {
  if (number != usual) json[key] = number;
}

void put(Json& json, const char* key, const std::optional<std::uint64_t>& number) {
  if (number) json[key] = *number;
}

void put_case(Json& json, const TestCase& test) {
  json["id"] = test.id;
  put(json, "file", test.file);
  put(json, "group", test.group);
  put(json, "name", test.name);
  put_unless(json, "line", test.line, 0);
  put(json, "markers", test.markers);
  put(json, "skipped_by_mark", test.skipped_by_mark);
  put(json, "marked_cold", test.cold);
}

Json outcome_json(const Outcome& outcome) {
  Json json = {{"kind", word(outcome.kind)}};
  if (outcome.code != 0) json["code"] = outcome.code;
  put(json, "step", outcome.step);
  put(json, "detail", outcome.detail);
  return json;
}

Json resources_json(const Resources& used) {
  Json json = {{"wall_us", used.wall.count()}, {"user_cpu_us", used.user_cpu.count()}, {"system_cpu_us", used.system_cpu.count()}};
  put(json, "peak_memory_bytes", used.peak_memory_bytes);
  put(json, "read_bytes", used.read_bytes);
  put(json, "written_bytes", used.written_bytes);
  put(json, "peak_pids", used.peak_pids);
  put_unless(json, "major_faults", used.major_faults, 0);
  put_unless(json, "minor_faults", used.minor_faults, 0);
  return json;
}

Json report_json(const TestReport& report) {
  Json json = {{"when", report.when}, {"outcome", report.outcome}};
  json["began_us"] = report.began.count();
  json["duration_us"] = report.duration.count();
  put(json, "text", report.text);
  put(json, "message", report.message);
  put(json, "path", report.path);
  put_unless(json, "line", report.line, 0);
  put(json, "sections", report.sections);
  if (report.xfail) json["xfail"] = *report.xfail;
  put(json, "subtest", report.subtest);
  return json;
}

Json warning_json(const TestWarning& warning) {
  Json json = {{"category", warning.category}, {"message", warning.message}};
  put(json, "path", warning.path);
  put_unless(json, "line", warning.line, 0);
  return json;
}

// `merged` only where it can't be told from the two others.
Json output_json(const Output& output) {
  Json json = Json::object();
  put(json, "stdout", output.out);
  put(json, "stderr", output.err);
  const std::string& alone = output.out.empty() ? output.err : output.out;
  if ((!output.out.empty() && !output.err.empty()) || output.merged != alone) json["merged"] = output.merged;
  put_unless(json, "stdout_total", output.out_total, output.out.size());
  put_unless(json, "stderr_total", output.err_total, output.err.size());
  put(json, "truncated", output.truncated);
  return json;
}

Json result_json(const TestResult& result) {
  Json json = Json::object();
  put_case(json, result.test);
  json["verdict"] = word(result.verdict);
  put(json, "reason", result.reason);
  json["began_us"] = result.began.count();
  json["duration_us"] = result.duration.count();
  json["slot"] = result.slot;
  put_unless(json, "attempt", result.attempt, 1);
  put(json, "retried", !result.last);
  put(json, "flaky", result.flaky);
  put(json, "cold", result.cold);
  put(json, "cached", result.cached);
  put(json, "container", result.container);
  json["outcome"] = outcome_json(result.outcome);
  json["resources"] = resources_json(result.resources);
  put(json, "shared_cell", !result.cell_is_its_own);
  for (const TestReport& report : result.reports) json["reports"].push_back(report_json(report));
  for (const TestWarning& warning : result.warnings) json["warnings"].push_back(warning_json(warning));
  put(json, "properties", result.properties);
  if (Json output = output_json(result.output); !output.empty()) json["output"] = std::move(output);
  for (const Leftover& process : result.leftovers) json["leftovers"].push_back(Json{{"pid", process.pid}, {"name", process.name}});
  put(json, "notes", result.notes);
  return json;
}

}  // namespace

std::string event_line(const RunStart& run) {
  Json json = {{"event", "run_started"}, {"format", kEventFormat}, {"casemate", CASEMATE_VERSION}, {"front_end", run.front_end}};
  put(json, "name", run.name);
  put(json, "directory", run.directory);
  put(json, "arguments", run.arguments);
  json["began_unix_us"] = std::chrono::duration_cast<std::chrono::microseconds>(run.began.time_since_epoch()).count();
  json["slots"] = run.slots;
  put_unless(json, "repetition", run.repetition, 1);
  put_unless(json, "repetitions", run.repetitions, 1);
  return line_of(json);
}

std::string event_line(const Collected& collected) {
  Json json = {{"event", "collected"}, {"selected", collected.selected}};
  put_unless(json, "deselected", collected.deselected, 0);
  put_unless(json, "ignored", collected.ignored, 0);
  json["took_us"] = collected.took.count();
  put(json, "python", collected.python);
  put(json, "pytest", collected.pytest);
  for (const TestResult& problem : collected.problems) json["problems"].push_back(result_json(problem));
  return line_of(json);
}

std::string event_line(const TestStart& start) {
  Json json = {{"event", "test_started"}};
  if (start.test) put_case(json, *start.test);
  json["slot"] = start.slot;
  put_unless(json, "attempt", start.attempt, 1);
  json["began_us"] = start.began.count();
  return line_of(json);
}

std::string event_line(const TestResult& result) {
  Json json = {{"event", "test_finished"}};
  json.update(result_json(result));
  return line_of(json);
}

std::string event_line(const RunEnd& end) {
  Json json = {{"event", "run_finished"}, {"took_us", end.took.count()}};
  Json& counts = json["counts"] = Json::object();
  for (std::size_t i = 0; i < std::size(end.counts); ++i) {
    if (end.counts[i] > 0) counts[std::string(word(static_cast<Verdict>(i)))] = end.counts[i];
  }
  put_unless(json, "flaky", end.flaky, 0);
  put_unless(json, "cached", end.cached, 0);
  put_unless(json, "not_run", end.not_run, 0);
  put(json, "stopped_because", end.stopped_because);
  put(json, "coverage", end.coverage);
  put(json, "problem", end.problem);
  json["exit_status"] = end.exit_status;
  return line_of(json);
}

std::string progress_line(std::string_view line, bool finished) {
  return line_of(Json{{"event", "progress"}, {"line", line}, {"finished", finished}});
}

std::string note_line(std::string_view line) { return line_of(Json{{"event", "note"}, {"line", line}}); }

}  // namespace casemate
