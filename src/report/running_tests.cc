#include "report/running_tests.h"

#include <algorithm>

#include "base/terminal.h"

namespace casemate {

void RunningTests::started(const TestStart& start) {
  if (!start.test) return;
  tests_.push_back({printable_name(start.test->id), start.slot, start.attempt, start.began, 0});
}

void RunningTests::finished(const TestResult& result) {
  const std::string id = printable_name(result.test.id);
  auto ended =
      std::find_if(tests_.begin(), tests_.end(), [&](const RunningTest& test) { return test.slot == result.slot && test.id == id; });
  if (ended == tests_.end()) ended = std::find_if(tests_.begin(), tests_.end(), [&](const RunningTest& test) { return test.id == id; });
  if (ended != tests_.end()) tests_.erase(ended);
}

bool RunningTests::slow(const RunningTest& test, std::chrono::microseconds now) const {
  return slow_after_.count() > 0 && now - test.began >= slow_after_;
}

std::vector<RunningTest> RunningTests::newly_slow(std::chrono::microseconds now) {
  std::vector<RunningTest> slow_ones;
  for (RunningTest& test : tests_) {
    if (!slow(test, now)) continue;
    const auto periods = static_cast<std::uint64_t>((now - test.began) / slow_after_);
    if (periods <= test.periods_told) continue;
    test.periods_told = periods;
    slow_ones.push_back(test);
  }
  return slow_ones;
}

}  // namespace casemate
