// plan_events: a plan's run as it goes on, for the sinks that every front end has: console, JUnit, HTML.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// Tells sinks of one run.
class PlanEvents {
 public:
  void listen(std::unique_ptr<Sink> sink) { sinks_.push_back(std::move(sink)); }
  /// The first thing wrong with a sink, "" nothing.
  [[nodiscard]] std::string begin(const RunStart& start);
  void progress(std::string_view line, bool finished);
  void collected(std::size_t selected, std::size_t deselected);
  void started(const TestCase& test);
  /// `attempts`: 1 and more, of the step that had most.
  void finished(TestResult result, unsigned attempts);
  void note(std::string_view line);
  void tick();
  /// The first thing that went wrong with a sink. What was selected and not heard of again is not run.
  std::string end(const std::string& problem, const std::string& stopped, int exit_status);

 private:
  [[nodiscard]] std::chrono::microseconds now() const;
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::chrono::steady_clock::time_point began_;
  std::size_t selected_ = 0;
  std::size_t heard_ = 0;
  RunEnd end_;
};

}  // namespace casemate
