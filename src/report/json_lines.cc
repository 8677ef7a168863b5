#include "report/json_lines.h"

#include <cstring>
#include <ctime>
#include <filesystem>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostWaiting = 16u << 20;

std::string utc(std::chrono::system_clock::time_point time) {
  const std::time_t whole = std::chrono::system_clock::to_time_t(time);
  const auto milli = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  char text[32] = "";
  (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", text, milli);
}

Json strings(const std::vector<std::string>& texts) {
  Json list = Json::array();
  for (const std::string& text : texts) list.push_back(to_utf8(text));
  return list;
}

Json pairs(const std::vector<std::pair<std::string, std::string>>& texts) {
  Json list = Json::array();
  for (const auto& [key, value] : texts) list.push_back(Json::array({to_utf8(key), to_utf8(value)}));
  return list;
}

Json place(const std::string& path, std::uint32_t line) { return {{"path", to_utf8(path)}, {"line", line}}; }

Json report_json(const TestReport& report) {
  Json json = {{"when", to_utf8(report.when)}, {"outcome", to_utf8(report.outcome)}, {"duration_ms", milliseconds(report.duration)}};
  if (!report.subtest.empty()) json["subtest"] = to_utf8(report.subtest);
  if (!report.message.empty()) json["message"] = to_utf8(report.message);
  if (!report.text.empty()) json["text"] = to_utf8(report.text);
  if (!report.path.empty()) json["at"] = place(report.path, report.line);
  if (report.xfail) json["xfail"] = to_utf8(*report.xfail);
  if (!report.sections.empty()) json["sections"] = pairs(report.sections);
  return json;
}

Json output_json(const Output& output) {
  return {{"stdout", to_utf8(output.out)},
          {"stderr", to_utf8(output.err)},
          {"stdout_bytes", output.out_total},
          {"stderr_bytes", output.err_total},
          {"truncated", output.truncated}};
}

Json outcome_json(const Outcome& outcome) {
  Json json = {{"kind", word(outcome.kind)}, {"words", to_utf8(words(outcome))}};
  if (outcome.kind == Outcome::Kind::exited || outcome.kind == Outcome::Kind::signaled || outcome.kind == Outcome::Kind::setup_failed)
    json["code"] = outcome.code;
  return json;
}

UniqueFd open_target(const std::string& path, std::string& problem) {
  if (path == "-") return {};
  std::error_code no_directory;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, no_directory);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666));
  if (!file) problem = std::strerror(no_directory ? no_directory.value() : errno);
  return file;
}

}  // namespace

Json test_result_json(const TestResult& result, std::string_view event) {
  const TestCase& test = result.test;
  Json json = Json::object();
  if (!event.empty()) json["event"] = event;
  json["id"] = to_utf8(test.id);
  json["file"] = to_utf8(test.file);
  json["group"] = to_utf8(test.group);
  json["name"] = to_utf8(test.name);
  json["line"] = test.line;
  json["markers"] = strings(test.markers);
  json["verdict"] = word(result.verdict);
  json["reason"] = to_utf8(result.reason);
  json["attempt"] = result.attempt;
  json["last"] = result.last;
  json["flaky"] = result.flaky;
  json["cold"] = result.cold;
  json["cached"] = result.cached;
  json["slot"] = result.slot;
  json["container"] = to_utf8(result.container);
  json["began_ms"] = milliseconds(result.began);
  json["duration_ms"] = milliseconds(result.duration);
  json["outcome"] = outcome_json(result.outcome);
  json["cell_is_its_own"] = result.cell_is_its_own;
  json["resources"] = resources_json(result.resources);
  json["reports"] = Json::array();
  for (const TestReport& report : result.reports) json["reports"].push_back(report_json(report));
  json["output"] = output_json(result.output);
  json["properties"] = pairs(result.properties);
  json["warnings"] = Json::array();
  for (const TestWarning& warning : result.warnings) {
    json["warnings"].push_back(
        {{"category", to_utf8(warning.category)}, {"message", to_utf8(warning.message)}, {"at", place(warning.path, warning.line)}});
  }
  json["leftovers"] = Json::array();
  for (const Leftover& process : result.leftovers) json["leftovers"].push_back({{"pid", process.pid}, {"name", to_utf8(process.name)}});
  json["notes"] = strings(result.notes);
  return json;
}

JsonLinesReport::JsonLinesReport(const std::string& path)
    : path_(path), file_(open_target(path, cannot_open_)), out_(path == "-" ? STDOUT_FILENO : file_.get()) {}

void JsonLinesReport::put(const Json& event) {
  if (!cannot_open_.empty()) return;
  // On a terminal only ASCII: escapes for the rest drive nothing.
  std::string line = event.dump(-1, ' ', out_.terminal(), Json::error_handler_t::replace);
  // A log that a runner of GitHub Actions reads: "##[" anywhere in a line is a command. It can only be inside of a string.
  for (std::size_t at = 0; (at = line.find("##[", at)) != std::string::npos;) line.replace(at, 1, "\\u0023");
  out_.add_own(line + "\n");
  if (out_.backlog() > kMostWaiting) out_.finish();
}

void JsonLinesReport::run_started(const RunStart& run) {
  put({{"event", "run_started"},
       {"format", kJsonLinesFormat},
       {"casemate", CASEMATE_VERSION},
       {"front_end", to_utf8(run.front_end)},
       {"name", to_utf8(run.name)},
       {"directory", to_utf8(run.directory)},
       {"arguments", strings(run.arguments)},
       {"began", utc(run.began)},
       {"slots", run.slots},
       {"repetition", run.repetition},
       {"repetitions", run.repetitions}});
}

void JsonLinesReport::progress(std::string_view line, bool finished) {
  if (!line.empty()) put({{"event", "progress"}, {"line", to_utf8(line)}, {"finished", finished}});
}

void JsonLinesReport::collected(const Collected& collected) {
  Json problems = Json::array();
  for (const TestResult& problem : collected.problems) problems.push_back(test_result_json(problem));
  put({{"event", "collected"},
       {"selected", collected.selected},
       {"deselected", collected.deselected},
       {"ignored", collected.ignored},
       {"took_ms", milliseconds(collected.took)},
       {"python", to_utf8(collected.python)},
       {"pytest", to_utf8(collected.pytest)},
       {"problems", std::move(problems)}});
}

void JsonLinesReport::test_started(const TestStart& start) {
  put({{"event", "test_started"},
       {"id", start.test ? to_utf8(start.test->id) : ""},
       {"slot", start.slot},
       {"attempt", start.attempt},
       {"began_ms", milliseconds(start.began)}});
}

void JsonLinesReport::test_finished(const TestResult& result) { put(test_result_json(result, "test_finished")); }

void JsonLinesReport::note(std::string_view line) { put({{"event", "note"}, {"line", to_utf8(line)}}); }

// What a slow reader has not taken goes on while nothing happens.
void JsonLinesReport::tick(std::chrono::microseconds /*since_began*/) { (void)out_.backlog(); }

std::string JsonLinesReport::problem() const {
  const std::string why = !cannot_open_.empty() ? cannot_open_ : out_.problem() != 0 ? std::strerror(out_.problem()) : "";
  return why.empty() ? "" : fmt::format("can't write {}: {}", path_ == "-" ? "to stdout" : printable_name(path_), why);
}

std::string JsonLinesReport::run_finished(const RunEnd& end) {
  Json counts = Json::object();
  for (std::size_t i = 0; i < kVerdicts; ++i) counts[std::string(word(static_cast<Verdict>(i)))] = end.counts[i];
  put({{"event", "run_finished"},
       {"took_ms", milliseconds(end.took)},
       {"counts", std::move(counts)},
       {"flaky", end.flaky},
       {"cached", end.cached},
       {"not_run", end.not_run},
       {"stopped_because", to_utf8(end.stopped_because)},
       {"coverage", to_utf8(end.coverage)},
       {"problem", to_utf8(end.problem)},
       {"exit_status", end.exit_status}});
  if (cannot_open_.empty()) out_.finish();
  return problem();
}

}  // namespace casemate
