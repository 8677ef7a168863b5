#include "runtime/script_answer.h"

#include <algorithm>
#include <cmath>

#include "base/terminal.h"
#include "base/untrusted_json.h"

namespace casemate::runtime {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostText = 64u << 10;
constexpr std::size_t kMostNotes = 64;
constexpr std::size_t kMostReports = 1000;
constexpr JsonBounds kBounds{.depth = 12, .values = 500'000};

double seconds_of(const Json& told) {
  const auto found = told.find("seconds");
  const double seconds = found != told.end() && found->is_number() ? found->get<double>() : 0;
  return std::isfinite(seconds) ? std::clamp(seconds, 0.0, 1e9) : 0;
}

std::string one_line(const std::string& text) { return printable_line(text.substr(0, text.find('\n'))); }

}  // namespace

void ScriptAnswer::hear(std::string_view bytes) {
  if (!problem_.empty()) return;
  lines_.add(bytes, [&](std::string_view text) { line(text); });
  if (lines_.dropped() > 0 && problem_.empty()) problem_ = "a line of its report is longer than 32 MiB";
}

void ScriptAnswer::line(std::string_view text) {
  if (!problem_.empty()) return;
  const auto object = untrusted_object(text, kBounds);
  if (!object) {
    problem_ = "its report makes no sense: the script may have written to descriptors that it had not opened";
    return;
  }
  if (object->contains("main")) has_main_ = true_at(*object, "main");
  if (const Json* told = member_if(*object, "script", &Json::is_object); told && !script_) {
    ScriptTold script;
    script.problem = one_line(text_at(*told, "problem", kMostText));
    script.traceback = to_utf8(text_at(*told, "traceback", 2 * kMostText));
    script.took = std::chrono::microseconds(static_cast<std::int64_t>(seconds_of(*told) * 1e6));
    for (const std::string& note : texts_at(*told, "notes", kMostNotes, 4096)) script.notes.push_back(one_line(note));
    has_main_ = true_at(*told, "main");
    script_ = std::move(script);
  }
  if (const Json* told = member_if(*object, "data", &Json::is_object); told && data_.size() < kMostReports) {
    auto report = data_report_from(*told);
    if (report) {
      data_.push_back(std::move(*report));
    } else {
      problem_ = report.error().what;
    }
  }
}

}  // namespace casemate::runtime
