#include "warm/stream.h"

#include <algorithm>
#include <cmath>

#include "base/untrusted_json.h"
#include "warm/protocol.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostWord = 20;
constexpr std::size_t kMostMarkers = 1000;
constexpr std::size_t kMostLeft = 16;         // words
constexpr std::size_t kMostLeftBytes = 1000;  // of each
constexpr std::size_t kMostPairs = 10'000;
constexpr double kMostSeconds = 1e11;

std::uint32_t line_at(const Json& object) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(number_at(object, "line"), UINT32_MAX));
}

std::chrono::microseconds time_at(const Json& object, const char* key) {
  const Json* found = member_if(object, key, &Json::is_number);
  if (!found) return {};
  const double seconds = found->get<double>();
  if (!std::isfinite(seconds) || std::abs(seconds) > kMostSeconds) return {};
  return std::chrono::microseconds(static_cast<std::int64_t>(std::llround(seconds * 1e6)));
}

std::vector<std::pair<std::string, std::string>> pairs_at(const Json& object, const char* key) {
  std::vector<std::pair<std::string, std::string>> pairs;
  const Json* found = member_if(object, key, &Json::is_array);
  if (!found) return pairs;
  for (const Json& pair : *found) {
    if (pairs.size() >= kMostPairs || !pair.is_array() || pair.size() != 2 || !pair[0].is_string()) continue;
    pairs.emplace_back(pair[0].get<std::string>(), pair[1].is_string() ? pair[1].get<std::string>() : pair[1].dump());
  }
  return pairs;
}

TestReport report_of(const Json& object) {
  TestReport report;
  report.when = text_at(object, "when").substr(0, kMostWord);
  report.outcome = text_at(object, "outcome").substr(0, kMostWord);
  report.began = time_at(object, "start");
  report.duration = time_at(object, "duration");
  report.text = text_at(object, "text");
  report.message = text_at(object, "message");
  report.path = text_at(object, "path");
  report.line = line_at(object);
  report.sections = pairs_at(object, "sections");
  if (object.contains("xfail")) report.xfail = text_at(object, "xfail");
  report.subtest = text_at(object, "subtest");
  return report;
}

StreamLine item_of(const Json& object) {
  StreamItem item;
  TestCase& test = item.test;
  test.id = text_at(object, "item");
  test.file = text_at(object, "file");
  test.group = text_at(object, "group");
  test.name = text_at(object, "name");
  test.line = line_at(object);
  for (std::string& marker : texts_at(object, "markers", kMostMarkers)) {
    if (std::find(test.markers.begin(), test.markers.end(), marker) == test.markers.end()) test.markers.push_back(std::move(marker));
  }
  test.skipped_by_mark = true_at(object, "skip");
  test.cold = true_at(object, "cold");
  test.uncached = true_at(object, "uncached");
  return item;
}

StreamLine line_of(const Json& object) {
  if (object.contains("item")) return item_of(object);
  if (const Json* report = member_if(object, "report", &Json::is_object))
    return StreamReport{text_at(*report, "id"), report_of(*report), pairs_at(*report, "properties")};
  if (const Json* problem = member_if(object, "problem", &Json::is_object))
    return StreamProblem{text_at(*problem, "id"), report_of(*problem)};
  if (const Json* warning = member_if(object, "warning", &Json::is_object))
    return StreamWarning{text_at(*warning, "id"),
                         {text_at(*warning, "category"), text_at(*warning, "message"), text_at(*warning, "path"), line_at(*warning)}};
  if (object.contains("begin")) return StreamBegin{text_at(object, "begin")};
  if (object.contains("end")) return StreamEnd{text_at(object, "end")};
  if (object.contains("missing")) return StreamMissing{text_at(object, "missing")};
  if (object.contains("stop")) return StreamStop{text_at(object, "stop")};
  if (object.contains("done"))
    return StreamDone{number_at(object, "deselected"), texts_at(object, "left", kMostLeft, kMostLeftBytes),
                      static_cast<int>(number_at(object, "status") & 0xff), text_at(object, "text")};
  if (object.contains("covered")) return StreamCovered{text_at(object, "covered"), true_at(object, "failed")};
  if (object.contains("written")) return StreamWritten{text_at(object, "written"), text_at(object, "content"), true_at(object, "more")};
  if (const Json* about = member_if(object, "about", &Json::is_object))
    return StreamAbout{text_at(*about, "python", kMostWord), text_at(*about, "pytest", kMostWord),
                       texts_at(*about, "notes", kMostLeft, kMostLeftBytes)};
  if (object.contains("file")) {
    const auto hash = object.find("hash");
    return StreamFile{text_at(object, "file"), hash == object.end() ? "" : hash->dump(), number_at(object, "count"),
                      texts_at(object, "left", kMostLeft, kMostLeftBytes)};
  }
  return {};
}

}  // namespace

StreamLine read_stream_line(std::string_view line) {
  if (line.starts_with(R"({"coverage": )")) return StreamCoverage{std::string(line)};
  if (line.starts_with(R"({"rewritten": )")) return StreamRewritten{std::string(line)};
  const auto object = untrusted_object(line);
  return object ? line_of(*object) : StreamLine();
}

void StreamReader::add(std::string_view bytes, const std::function<void(StreamLine)>& hear) {
  lines_.add(bytes, [&](std::string_view line) { hear(read_stream_line(line)); });
}

void LineReader::add(std::string_view bytes, const std::function<void(std::string_view)>& hear) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (!skipping_ && rest_.size() + piece.size() > kMostLine) {
      skipping_ = true;
      ++dropped_;
      rest_.clear();
    }
    if (end == std::string_view::npos) {
      if (!skipping_) rest_ += piece;
      return;
    }
    bytes.remove_prefix(end + 1);
    if (skipping_) {
      skipping_ = false;
    } else if (rest_.empty()) {
      hear(piece);
    } else {
      rest_ += piece;
      hear(rest_);
      rest_.clear();
    }
  }
}

}  // namespace casemate
