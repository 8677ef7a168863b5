// session: one run of tests: containers made ready, tests collected, selected and ordered, run, judged, and told to the sinks.
#pragma once

#include <memory>
#include <vector>

#include "apps/pytest/request.h"
#include "casemate/result.h"
#include "engine/events.h"

namespace casemate {

/// What a session needs to know besides its request.
struct SessionOptions {
  std::vector<std::string> typed;  ///< the arguments, for reports
  /// Told all that happens. With PytestRequest::Action::list they hear of no test.
  std::vector<Sink*> sinks;
};

/// Runs to the end and gives the exit status: 0 all passed, 1 failures, 2 usage or configuration, 3 engine, 4 nothing matched, 130
/// interrupted. What kept it from running at all is told by RunEnd::problem.
int run_tests(const PytestRequest& request, const SessionOptions& options);

}  // namespace casemate
