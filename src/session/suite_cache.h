// suite_cache: what --cache does for a session: tests that have passed with the same inputs are not run again.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "action/job_inputs.h"
#include "casemate/result.h"
#include "engine/events.h"
#include "session/furnishing.h"
#include "session/kept_passes.h"
#include "session/queue.h"
#include "session/request.h"
#include "session/session_sinks.h"
#include "store/store.h"

namespace casemate {

/// What `explain --why` calls the tests of a container (InputHistory).
[[nodiscard]] std::vector<std::string> suite_command(const std::string& container);

/// Passes by the digest of the inputs of the tests' container (suite_inputs). What can't be done is told, and then all tests run.
class SuiteCache {
 public:
  SuiteCache(const PytestRequest& request, SessionSinks& sinks) : request_(request), sinks_(sinks) {}

  /// Reads the inputs of the tests that this furnishing is for, before they are collected. `number`: SelectedTest::executor; `container`:
  /// its name.
  void look(std::size_t number, const Furnishing& furnishing, const std::string& container);
  /// Tells of the container that was looked at first (SessionOptions::why). False: it can't be known, as was told.
  bool tell(const std::function<void(const JobInputs&, const std::string&, std::size_t, const Store&)>& why) const;
  /// From now on nothing is found and nothing kept.
  void switch_off(const std::string& why);
  /// The pass of a test that need not run; nullptr: it has to. `alone`: it would have a cell of its own.
  [[nodiscard]] const KeptPass* find(const SelectedTest& selected, bool alone) const;
  /// Takes a result in, if it is one to keep: of a test that was apart from others, at its first attempt.
  void take(const SelectedTest& selected, const TestResult& result);
  /// Writes what was taken in, unless the inputs have changed since look().
  void save();

 private:
  struct Suite {
    const Furnishing* furnishing = nullptr;
    std::string container;
    JobInputs inputs;
    PassesByTest known, fresh;
    bool used = false;
  };
  Result<void> read(std::size_t number, const Furnishing& furnishing, const std::string& container);
  [[nodiscard]] bool is_as_it_was(const Suite& suite) const;

  const PytestRequest& request_;
  SessionSinks& sinks_;
  std::optional<Store> store_;
  std::map<std::size_t, Suite> suites_;
  std::optional<std::size_t> first_;  // that was looked at: of several containers the one that people are told of
  bool off_ = false;
};

/// The result of a test that is not run, for it passed before.
[[nodiscard]] TestResult cached_result(const TestCase& test, const KeptPass& pass);

}  // namespace casemate
