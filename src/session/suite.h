// suite: the tests of a session before any of them runs: what directives say, containers made ready, tests collected, selected and ordered.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "casemate/engine.h"
#include "session/collector.h"
#include "session/coverage.h"
#include "session/directives.h"
#include "session/executors.h"
#include "session/queue.h"
#include "session/request.h"
#include "session/selection.h"
#include "session/session.h"
#include "session/session_sinks.h"
#include "session/suite_cache.h"

namespace casemate {

/// Why a session ends before its first test.
struct EarlyEnd {
  int status = 0;       ///< the run's exit status
  std::string problem;  ///< RunEnd::problem
};
/// An error of ours as one.
[[nodiscard]] EarlyEnd early_end(const Error& error);

/// Made in the order of its declarations: read(), open(), collect(), select().
class Suite {
 public:
  Suite(const PytestRequest& request, const SessionOptions& options, SessionSinks& sinks)
      : request_(request), options_(options), sinks_(sinks) {
    if (options.why || (request.cache && !options.list)) cache_.emplace(request, sinks);
  }

  /// Directives and expressions. Needs nothing but files.
  Result<void> read();
  /// What collects is made ready. `engine` must outlive this.
  Result<void> open(Engine& engine);
  /// nullopt: go on, if the engine was not interrupted; else the session has ended.
  std::optional<EarlyEnd> collect();
  /// What is in `collected` but the time that all took. Executors of all tests' containers are made, unless tests are only listed.
  Result<void> select(Collected& collected);

  /// After open().
  [[nodiscard]] Executors& executors() { return *executors_; }
  [[nodiscard]] const Executors& executors() const { return *executors_; }
  [[nodiscard]] SessionSlots slots() const { return executors_ ? executors_->slots() : slots_of(request_); }
  /// Of collection and, later, of all tests.
  [[nodiscard]] Coverage& coverage() { return collector_.coverage; }
  [[nodiscard]] std::string name_of_collecting() const { return executors_->name_of_collecting(collecting_in_); }

  /// After select().
  [[nodiscard]] const Directives& directives() const { return directives_; }
  [[nodiscard]] const std::vector<SelectedTest>& selected() const { return selected_; }
  [[nodiscard]] bool has_file(const std::string& file) const { return collector_.hashes.contains(file); }
  /// That were collected.
  [[nodiscard]] std::size_t files() const { return collector_.hashes.size(); }
  /// Files whose tests get fresh interpreters, for what they leave when they are collected.
  [[nodiscard]] const std::set<std::string>& tied() const { return tied_; }
  /// What collection made of modules (StreamRewritten), for groups; "": nothing.
  [[nodiscard]] const std::string& rewritten() const { return collector_.rewritten; }
  /// How long an interpreter took for collection.
  [[nodiscard]] std::chrono::microseconds collecting_took() const { return collecting_took_; }
  /// Whole files that said so when they were collected.
  [[nodiscard]] const std::vector<TestResult>& skipped_files() const { return skipped_files_; }
  /// Files that could not be collected.
  [[nodiscard]] std::size_t problems() const { return problems_; }

  /// Of --cache; nullptr: it was not asked for.
  [[nodiscard]] SuiteCache* cache() { return cache_ ? &*cache_ : nullptr; }

  /// Whether no daemon or engine is there, or none that can begin anything: so will the next job find. True: it is so, and either the run
  /// goes on here (and slots() are other ones), or unable() says why it can't.
  bool note_whether_unable(const Outcome& outcome);
  [[nodiscard]] const std::optional<std::string>& unable() const { return unable_; }
  /// Of units one by one that is not ours: they get fresh interpreters.
  [[nodiscard]] bool is_all_cold() const { return request_.executor != "native" && slots_of(request_).groups == 0; }

 private:
  Result<void> find_executors();
  void look_for_results(std::size_t executor, std::size_t container);
  void tell_pull(const PullProgress& progress);

  const PytestRequest& request_;
  const SessionOptions& options_;
  SessionSinks& sinks_;
  Engine* engine_ = nullptr;
  Directives directives_;
  TestChoice choice_;
  std::optional<Executors> executors_;
  std::optional<SuiteCache> cache_;
  bool collects_again_ = false;
  std::optional<std::string> unable_;  // why one that is not ours runs no more
  std::size_t collecting_in_ = 0;
  std::chrono::microseconds collecting_took_{0};
  Collector collector_;
  std::vector<SelectedTest> selected_;
  std::set<std::string> tied_;
  std::vector<TestResult> skipped_files_;
  std::size_t problems_ = 0;
  std::mutex pulling_;
};

}  // namespace casemate
