// slowest: --durations: the phases of tests that took longest, as pytest lists them at its end.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// Prints on `fd` (1 or 2) when a run has ended; to be told after the console.
class SlowestPhases final : public Sink {
 public:
  /// `most` phases; 0: all. Those below 5 ms only with `verbosity` 2 and more, as pytest has it.
  SlowestPhases(std::uint32_t most, int verbosity, int fd) : most_(most), verbosity_(verbosity), fd_(fd) {}

  void test_finished(const TestResult& result) override;
  std::string run_finished(const RunEnd& end) override;

 private:
  struct Phase {
    std::chrono::microseconds took{0};
    std::string when;
    std::string id;
  };
  std::uint32_t most_;
  int verbosity_;
  int fd_;
  std::vector<Phase> phases_;
};

}  // namespace casemate
