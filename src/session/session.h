// session: one run of tests: containers made ready, tests collected, selected and ordered, run, judged, and told to the sinks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "action/job_inputs.h"
#include "casemate/result.h"
#include "engine/events.h"
#include "session/furnishing.h"
#include "session/request.h"
#include "store/test_history.h"

namespace casemate {

/// What a session needs to know besides its request.
struct SessionOptions {
  std::vector<std::string> typed;               ///< the arguments, for reports
  std::vector<Sink*> sinks;                     ///< told all that happens
  const TestHistory* history = nullptr;         ///< what earlier runs took, and how they ended; nullptr: nothing is known
  std::function<Result<Furnishing>()> furnish;  ///< what all tests run in, in place of what directives say; none are read then
  /// Called with what is known before tests are collected, and none is: the inputs of the tests that no directive singles out, and how many
  /// of their results are kept for them.
  std::function<void(const JobInputs& inputs, const std::string& container, std::size_t kept, const Store& store)> why;
  std::function<void(const TestCase&)> list;  ///< with Action::list: called for each selected test, and none is run
};

/// Runs to the end and gives the exit status: 0 all passed, 1 failures, 2 usage or configuration, 3 engine, 4 nothing matched, 130
/// interrupted. What kept it from running at all is told by RunEnd::problem.
int run_tests(const PytestRequest& request, const SessionOptions& options);

}  // namespace casemate
