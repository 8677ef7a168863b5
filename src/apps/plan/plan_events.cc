#include "apps/plan/plan_events.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

std::chrono::microseconds PlanEvents::now() const { return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_); }

std::string PlanEvents::begin(const RunStart& start) {
  began_ = Clock::now();
  std::string problem;
  for (const auto& sink : sinks_) {
    sink->run_started(start);
    if (problem.empty()) problem = sink->problem();
  }
  return problem;
}

void PlanEvents::progress(std::string_view line, bool finished) {
  for (const auto& sink : sinks_) sink->progress(line, finished);
}

void PlanEvents::collected(std::size_t selected, std::size_t deselected) {
  selected_ = selected;
  Collected collected;
  collected.selected = selected;
  collected.deselected = deselected;
  collected.took = now();
  for (const auto& sink : sinks_) sink->collected(collected);
}

void PlanEvents::started(const TestCase& test) {
  const TestStart start{.test = &test, .began = now()};
  for (const auto& sink : sinks_) sink->test_started(start);
}

void PlanEvents::finished(TestResult result, unsigned attempts) {
  ++heard_;
  result.attempt = std::max(attempts, 1U);
  result.flaky = result.verdict == Verdict::passed && attempts > 1;
  result.cell_is_its_own = false;
  ++end_.counts[static_cast<std::size_t>(result.verdict)];
  end_.flaky += result.flaky ? 1 : 0;
  result.began = std::max(now() - result.duration, std::chrono::microseconds(0));
  for (TestReport& report : result.reports)
    report.began =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()) - report.duration;
  for (const auto& sink : sinks_) sink->test_finished(result);
}

void PlanEvents::note(std::string_view line) {
  for (const auto& sink : sinks_) sink->note(line);
}

void PlanEvents::tick() {
  for (const auto& sink : sinks_) sink->tick(now());
}

std::string PlanEvents::end(const std::string& problem, const std::string& stopped, int exit_status) {
  end_.took = now();
  end_.not_run = selected_ > heard_ ? selected_ - heard_ : 0;
  end_.problem = problem;
  end_.stopped_because = stopped;
  end_.exit_status = exit_status;
  std::string wrong;
  for (const auto& sink : sinks_) {
    const std::string one = sink->run_finished(end_);
    if (wrong.empty()) wrong = one;
  }
  return wrong;
}

}  // namespace casemate
