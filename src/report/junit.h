// junit: the results of a run as JUnit XML, as pytest's own --junit-xml has it (family xunit2), with surefire's elements for tries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/events.h"
#include "report/report_file.h"

namespace pugi {
class xml_node;
}

namespace casemate {

/// `text` with what XML 1.0 can't hold, and DEL, as pytest spells it: ESC is "#x1B", U+FFFE "#xFFFE". Bytes that are not UTF-8 become
/// U+FFFD.
[[nodiscard]] std::string xml_characters(std::string_view text);

/// The classname and the name of a test's <testcase>: "tests/test_a.py::TestB::test_c[x/y.py::z]" is "tests.test_a.TestB" and
/// "test_c[x/y.py::z]".
[[nodiscard]] std::pair<std::string, std::string> junit_address(const TestCase& test);

/// Writes JUnit XML to a file, in bounded memory however many tests there are. One `testsuite` for each repetition of a run. A test has one
/// `testcase` (two if its call failed and its tear-down too, as in pytest), however often it was tried: what earlier tries came to is
/// `flakyFailure` or `rerunFailure` in it (or ...Error).
class JunitReport : public Sink {
 public:
  /// The file appears when the run has finished; its parents are made.
  explicit JunitReport(std::string path) : path_(std::move(path)) {}

  void run_started(const RunStart& run) override;
  void collected(const Collected& collected) override;
  void test_finished(const TestResult& result) override;
  [[nodiscard]] std::string problem() const override { return problem_; }
  std::string run_finished(const RunEnd& end) override;

 private:
  // What is told of a try that another followed.
  struct Attempt {
    bool error = false;
    std::string message;
    std::string type;
    std::string text;
    std::string out;
    std::string err;
  };

  void add(std::string_view text);
  void add_test(const TestResult& result);
  [[nodiscard]] static Attempt attempt_of(const TestReport& report);
  void keep_attempt(const TestResult& result);
  static void add_attempts(pugi::xml_node test, const std::vector<Attempt>& attempts, bool bad);
  void count(const pugi::xml_node& test);
  [[nodiscard]] std::string suite_begin(std::chrono::microseconds took) const;
  [[nodiscard]] Result<void> end_suite(const RunEnd& end);

  std::string path_;
  std::string problem_;  // the first; nothing is written after it
  std::optional<ReportFile> file_;
  std::uint64_t suite_at_ = 0;  // where the suite's tag goes, once its counts are known
  std::uint64_t suites_end_ = 0;
  std::string plan_of_;  // the tool, in a run of a plan; "" else
  std::chrono::system_clock::time_point began_;
  std::size_t tests_ = 0;
  std::size_t failures_ = 0;
  std::size_t errors_ = 0;
  std::size_t skipped_ = 0;
  std::map<std::string, std::vector<Attempt>> attempts_;  // of tests that will be tried again
};

}  // namespace casemate
