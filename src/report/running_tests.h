// running_tests: which tests run now, since when, and which of them have become slow. Displays ask it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// One test between its start and its end.
struct RunningTest {
  std::string id;  ///< printable
  std::uint32_t slot = 0;
  std::uint32_t attempt = 1;
  std::chrono::microseconds began{0};  ///< since the run began
  std::uint64_t periods_told = 0;      ///< of slowness
};

/// The tests that run, those first that began first.
class RunningTests {
 public:
  /// `slow_after` 0: nothing is ever slow.
  explicit RunningTests(std::chrono::microseconds slow_after) : slow_after_(slow_after) {}
  void clear() { tests_.clear(); }
  void started(const TestStart& start);
  void finished(const TestResult& result);
  [[nodiscard]] const std::vector<RunningTest>& tests() const { return tests_; }
  [[nodiscard]] bool slow(const RunningTest& test, std::chrono::microseconds now) const;
  /// The tests that have been running for another whole period since they were last given, or since they began.
  [[nodiscard]] std::vector<RunningTest> newly_slow(std::chrono::microseconds now);

 private:
  std::chrono::microseconds slow_after_;
  std::vector<RunningTest> tests_;  // at most as many as slots, or as share cells
};

}  // namespace casemate
