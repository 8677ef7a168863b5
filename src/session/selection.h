// selection: which of the collected tests are run, in which order, and how.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "engine/events.h"
#include "session/collector.h"
#include "session/directives.h"
#include "session/filter.h"
#include "session/queue.h"
#include "session/request.h"
#include "store/test_history.h"

namespace casemate {

/// What --include and --exclude take.
class TestChoice {
 public:
  /// invalid_input: an expression that makes no sense.
  static Result<TestChoice> parse(const PytestRequest& request);
  /// Any --include (all tests, where there is none) and no --exclude.
  [[nodiscard]] bool takes(const TestCase& test) const;

 private:
  std::vector<TestFilter> include_;
  std::vector<TestFilter> exclude_;
};

/// Those of `tests`, all that were collected, that `choice` takes, in their order, with what directives say of each.
[[nodiscard]] std::vector<SelectedTest> select_tests(std::vector<TestCase> tests, const TestChoice& choice, Directives& directives);

/// What earlier runs tell of the tests of request.directory is noted at each; with --lf what did not fail is dropped, unless nothing did.
/// `ordered`: put_in_order() too. Where the history can't be read the tests stay as they are.
Result<void> look_back(std::vector<SelectedTest>& tests, const TestHistory& history, const Directives& directives,
                       const PytestRequest& request, bool ordered);

/// Drops what other shards run. All shards together have every test once, whatever each of them knows of earlier runs.
void take_shard(std::vector<SelectedTest>& tests, const PytestRequest& request);

/// Files whose tests would share, or miss, what collection has left: they get fresh interpreters.
struct TiedFiles {
  std::set<std::string> files;
  std::vector<std::string> notes;  ///< for people, one for all files that leave the same
};
/// `collector` has heard a whole collection.
[[nodiscard]] TiedFiles find_tied(const std::vector<SelectedTest>& tests, const Collector& collector);

}  // namespace casemate
