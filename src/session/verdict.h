// verdict: what became of tests that shared a cell, from what their fork reported and how it ended.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/outcome.h"
#include "engine/events.h"
#include "warm/stream.h"

namespace casemate {

/// Hears the stream of one fork (or one cold process) and judges its tests at the end.
class UnitReport {
 public:
  /// A test of the unit: of others nothing is heard.
  void expect(const std::string& id) { tests_[id]; }
  /// Takes bytes of the stream.
  void add(std::string_view bytes);
  /// What was measured (StreamCoverage).
  [[nodiscard]] const std::vector<std::string>& coverage() const { return coverage_; }

  struct Judged {
    std::vector<TestResult> results;  ///< in the order of `tests`
    std::vector<TestCase> not_begun;  ///< the fork ended before they began
    std::string stop;                 ///< pytest.exit() was called: what it said
  };
  /// What became of `tests`, of which there were several in a cell if more than one. Results have test, verdict, reason, outcome, duration,
  /// reports, warnings and properties; where there is one test, also resources, output, leftovers and notes of the cell. To be called once.
  Judged judge(const std::vector<TestCase>& tests, JobResult ended);

 private:
  struct OneTest {
    bool begun = false;
    bool ended = false;
    bool missing = false;
    std::vector<TestReport> reports;
    std::vector<TestWarning> warnings;
    std::vector<std::pair<std::string, std::string>> properties;
  };
  void hear(StreamLine line);
  OneTest* test_of(const std::string& id);
  void hear_report(OneTest& test, StreamReport said);
  TestResult judge_one(const TestCase& test, OneTest& found, const JobResult& ended) const;

  StreamReader reader_;
  std::map<std::string, OneTest> tests_;
  std::vector<std::string> coverage_;
  std::string stop_;
  bool done_ = false;
  bool damaged_ = false;     // something else was written to the stream
  std::uint64_t heard_ = 0;  // bytes
};

/// The verdict of a test whose reports have all come, and in `reason` what people want to know about it.
Verdict verdict_of_reports(const std::vector<TestReport>& reports, std::string& reason);

}  // namespace casemate
