#include "apps/pytest/slowest.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "report/printing.h"

namespace casemate {
namespace {

constexpr auto kShort = std::chrono::milliseconds(5);
constexpr int kAllOfThem = 2;  // -vv

}  // namespace

void SlowestPhases::test_finished(const TestResult& result) {
  if (!result.last) return;
  for (const TestReport& report : result.reports) {
    if (report.subtest.empty()) phases_.push_back({report.duration, report.when, result.test.id});
  }
}

std::string SlowestPhases::run_finished(const RunEnd& /*end*/) {
  std::vector<Phase> phases = std::move(phases_);
  phases_.clear();
  std::stable_sort(phases.begin(), phases.end(), [](const Phase& a, const Phase& b) { return a.took > b.took; });
  if (most_ > 0 && phases.size() > most_) phases.resize(most_);
  const std::size_t before = phases.size();
  if (verbosity_ < kAllOfThem) std::erase_if(phases, [](const Phase& phase) { return phase.took < kShort; });
  if (before == 0) return "";
  std::string text = most_ > 0 ? fmt::format("slowest {} durations:\n", most_) : "slowest durations:\n";
  for (const Phase& phase : phases)
    text += fmt::format("{:.2f}s {:<8} {}\n", std::chrono::duration<double>(phase.took).count(), printable_name(phase.when),
                        printable_name(phase.id));
  if (phases.size() < before)
    text += fmt::format("({} durations < 0.005s hidden.  Use -vv to show these durations.)\n", before - phases.size());
  if (fd_ != STDOUT_FILENO) {
    say(text);
    return "";
  }
  return put("casemate pytest", text, 0) == 0 ? "" : "standard output can't be written";
}

}  // namespace casemate
