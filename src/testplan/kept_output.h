// kept_output: how much of what commands said a run's result has, so that its documents have a bound whatever tools print.
#pragma once

#include <cstdint>

#include "testplan/models.h"

namespace casemate {

/// Outputs of one run's cases, counted as its documents have them (JSON: up to six bytes for one). The first 64 MiB are kept whole; of what
/// comes then the first and last 16 KiB of each output stay, and after twice that the first and last KiB.
class KeptOutput {
 public:
  /// Cuts the case's outputs where there is no room for them; those get `truncated`, and a line in their middle that says how much is gone.
  void take(CaseResult& one);

 private:
  std::uint64_t kept_ = 0;
};

/// The same for all of a run.
void bound_outputs(PlanResult& result);

}  // namespace casemate
