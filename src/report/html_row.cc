#include "report/html_row.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/failure_text.h"
#include "report/html.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kNameBytes = 1000, kLineBytes = 2000, kMostLines = 100;
enum Flag : unsigned { kRetried = 1, kFlaky = 2, kCold = 4, kShared = 8 };

// One line of bounded length; what is longer loses its end.
std::string line_of(std::string_view text, std::size_t most) {
  std::string line = printable_name(to_utf8(page_text(text.substr(0, most))));
  if (text.size() > most) line += " ...";
  return line;
}

std::string text_of(std::string_view text, std::uint64_t limit) {
  return limit == 0 ? "" : page_text(text.size() <= limit ? std::string(text) : head_and_tail(text, limit));
}

void put(Json& json, const char* key, std::string text) {
  if (!text.empty()) json[key] = std::move(text);
}

void add(Json& json, const char* key, Json entry) {
  Json& list = json[key];
  if (list.size() < kMostLines) list.push_back(std::move(entry));
}

// Longreprs as failures, and what was captured: each once, for a test's later reports have the sections of the earlier ones too.
void put_reports(Json& details, const TestResult& result, std::uint64_t limit) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const TestReport& report : result.reports) {
    if (!report.text.empty() && report.outcome != "skipped") {
      std::string heading = report.when + " " + report.outcome;
      if (!report.subtest.empty()) heading += " " + report.subtest;
      add(details, "failures", {line_of(heading, kLineBytes), text_of(report.text, std::max<std::uint64_t>(limit, 64))});
    }
    if (report.subtest.empty() && report.when != "collect") add(details, "phases", {line_of(report.when, 40), report.duration.count()});
    for (const auto& section : report.sections) {
      if (limit > 0 && seen.emplace(section.first, section.second).second)
        add(details, "sections", {line_of(section.first, kLineBytes), text_of(section.second, limit)});
    }
  }
  const char* whose = result.cell_is_its_own ? "" : " of the whole cell";
  if (limit > 0 && !result.output.merged.empty())
    add(details, "sections", {fmt::format("Output past pytest's capture{}", whose), text_of(result.output.merged, limit)});
}

void put_lists(Json& details, const TestResult& result) {
  for (const Leftover& process : result.leftovers)
    add(details, "leftovers", fmt::format("{} ({})", line_of(process.name, 64), process.pid));
  for (const TestWarning& warning : result.warnings) {
    const std::string place = warning.path.empty() ? "" : fmt::format(" ({}:{})", line_of(warning.path, kNameBytes), warning.line);
    add(details, "warnings", fmt::format("{}: {}{}", line_of(warning.category, 200), line_of(warning.message, kLineBytes), place));
  }
  for (const auto& [name, value] : result.properties) add(details, "properties", {line_of(name, 200), line_of(value, kLineBytes)});
  for (const std::string& note : result.notes) add(details, "notes", line_of(note, kLineBytes));
  for (const std::string& marker : result.test.markers) add(details, "markers", line_of(marker, 200));
}

Json details_of(const TestResult& result, std::uint64_t limit) {
  Json details = Json::object();
  put(details, "reason", line_of(result.reason, kLineBytes));
  if (result.test.line > 0) details["at"] = fmt::format("{}:{}", line_of(result.test.file, kNameBytes), result.test.line);
  if (!result.outcome.succeeded()) put(details, "outcome", line_of(words(result.outcome), kLineBytes));
  const auto cpu = (result.resources.user_cpu + result.resources.system_cpu).count();
  if (cpu > 0 && result.cell_is_its_own) details["cpu"] = cpu;
  put_reports(details, result, limit);
  put_lists(details, result);
  return details;
}

}  // namespace

std::string page_name(std::string_view id) { return line_of(id, kNameBytes); }

Json html_row(const TestResult& result, bool in_slot, std::uint64_t limit, bool same_container) {
  const unsigned flags =
      (result.last ? 0u : kRetried) | (result.flaky ? kFlaky : 0u) | (result.cold ? kCold : 0u) | (result.cell_is_its_own ? 0u : kShared);
  Json details = details_of(result, limit);
  return Json::array({page_name(result.test.id), static_cast<int>(result.verdict), result.began.count(), result.duration.count(),
                      in_slot ? Json(result.slot) : Json(nullptr), result.attempt,
                      result.resources.peak_memory_bytes ? Json(*result.resources.peak_memory_bytes) : Json(nullptr), flags,
                      same_container ? "" : line_of(result.container, kNameBytes), details.empty() ? Json(nullptr) : std::move(details)});
}

}  // namespace casemate
