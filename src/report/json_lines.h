// json_lines: every event of a run as a JSON object on a line of its own, for programs: docs/guide/json-lines.md,
// docs/schema/pytest-events.schema.json.
#pragma once

#include <string>
#include <string_view>

#include "engine/events.h"
#include "report/live_output.h"
#include "report/result_json.h"
#include "sys/fd.h"

namespace casemate {

/// The events' format; a number that grows when a key changes its meaning or goes. New keys don't make it grow.
inline constexpr int kJsonLinesFormat = 1;

/// A finished attempt, with `event` as its first key unless that is "". All strings are valid UTF-8.
[[nodiscard]] Json test_result_json(const TestResult& result, std::string_view event = "");

/// Writes each event when it happens. Waits for a reader that is more than 16 MiB behind: no event is ever left out.
class JsonLinesReport : public Sink {
 public:
  /// To the file `path`, which is written over, its parents made; "-": to stdout.
  explicit JsonLinesReport(const std::string& path);

  void run_started(const RunStart& run) override;
  void progress(std::string_view line, bool finished) override;
  void collected(const Collected& collected) override;
  void test_started(const TestStart& start) override;
  void test_finished(const TestResult& result) override;
  void note(std::string_view line) override;
  void tick(std::chrono::microseconds since_began) override;
  [[nodiscard]] std::string problem() const override;
  std::string run_finished(const RunEnd& end) override;

 private:
  void put(const Json& event);

  std::string path_;
  std::string cannot_open_;
  UniqueFd file_;
  LiveOutput out_;
};

}  // namespace casemate
