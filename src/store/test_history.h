// test_history: runs of many tests, kept in the history database: what ran, how each test ended, how long it took. Plain records: this room
// knows no tests; verdicts and outcomes are the words that others gave.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "casemate/result.h"
#include "store/database.h"

namespace casemate {

/// One run of tests. Texts are as they were given (hostile to a screen), bounded on their way in.
struct TestRunRecord {
  std::int64_t id = 0;                 ///< given by the database; a later run has a larger one
  std::string project;                 ///< absolute directory
  std::string front_end;               ///< "pytest"
  std::vector<std::string> arguments;  ///< as typed; only the first 8 KiB are kept
  std::string source;                  ///< equal for runs of the same code (a digest of it); "" where that is not known
  std::int64_t began_ms = 0;           ///< Unix time, milliseconds

  bool finished = false;  ///< false: it runs still, or was killed; what follows is not known then
  std::int64_t took_us = 0;
  std::map<std::string, std::int64_t> counts;  ///< tests by verdict word; those that are 0 may be left out
  std::int64_t flaky = 0;                      ///< of the passed ones
  std::int64_t not_run = 0;
  std::string stopped_because;  ///< "" if it ran to its end
  std::string problem;          ///< why the run itself failed; "" if it did not
  int exit_status = 0;
};

/// How one attempt at one test ended.
struct TestResultRecord {
  std::string node;       ///< node id; a longer one than kLongestNode is not kept at all
  std::string container;  ///< what it ran on: "host", "docker://..."
  std::string verdict;    ///< "passed", "failed", ...
  std::string outcome;    ///< of its process: "exited", "signaled", ...
  int code = 0;           ///< exit status or signal
  std::uint32_t attempt = 1;
  bool last = true;           ///< no other attempt follows
  bool flaky = false;         ///< passed after an attempt that did not
  bool needs_others = false;  ///< it needs what other files of its suite import
  bool cached = false;        ///< did not run: its duration, another time's, does not count. Not kept
  std::int64_t began_us = 0;  ///< since the run began
  std::int64_t duration_us = 0;
  std::int64_t cpu_us = 0;
  std::optional<std::uint64_t> peak_memory_bytes;
  std::uint32_t slot = 0;
  std::string reason;  ///< one line; at most 500 bytes are kept
  std::string leak;    ///< names of processes left behind, by ", "; at most 200 bytes are kept
};

/// What is known of a test before it runs. A test that is not known is new.
struct TestTiming {
  std::optional<std::int64_t> mean_us;  ///< of its last three runs that came to an end (passed, failed, xfailed, xpassed); unset: none did
  bool failed = false;                  ///< it failed (failed, error, lost) when it ran last: what --lf picks
  std::optional<std::int64_t> needed_others_ms;  ///< when the last run that it was in began, if it needed what other files import; Unix time
};

/// One entry of a test's past.
struct TestMoment {
  std::int64_t run = 0;
  std::int64_t began_ms = 0;  ///< of the run
  TestResultRecord result;
};

/// A test over all the runs that are kept.
struct TestSummary {
  std::string node;
  std::string container;
  std::int64_t runs = 0;    ///< in how many it came to an end
  std::int64_t failed = 0;  ///< attempts that failed
  std::int64_t flaky = 0;   ///< runs in which it passed after a failure, or both passed and failed
  std::int64_t mean_us = 0;
  std::int64_t longest_us = 0;
  std::string verdict;  ///< the last one
};

/// How much is kept of each project.
struct TestHistoryBounds {
  std::int64_t runs = 100;
  std::int64_t results = 2'000'000;  ///< of all its runs, some 80 bytes each; the newest two runs are kept whatever they hold
};

/// Runs of tests in the history database; one thread at a time, several processes at once (a writer waits up to 5 s for another).
class TestHistory {
 public:
  static constexpr std::size_t kLongestNode = 8192;  ///< bytes

  /// As History::open(), but leaves the spool alone.
  static Result<TestHistory> open(std::string directory = "");
  /// What open() has to tell a person, on one line; "" if nothing.
  [[nodiscard]] const std::string& note() const { return note_; }

  /// Begins a run: only what is known then is read from `run`. Its id.
  Result<std::int64_t> begin(const TestRunRecord& run);
  /// Adds results in one transaction: all or (on an error) none, and may be tried again.
  Result<void> add(std::int64_t run, std::span<const TestResultRecord> results);
  /// Completes a run (`run.id`) and removes what is past the bounds of its project.
  Result<void> finish(const TestRunRecord& run, const TestHistoryBounds& bounds = {});

  /// For all tests of a project that ran on `container` (nullopt: on any; of several the slowest counts), by node id.
  Result<std::unordered_map<std::string, TestTiming>> timings(const std::string& project,
                                                              const std::optional<std::string>& container = std::nullopt) const;
  /// Newest first; `project` "" is all of them.
  Result<std::vector<TestRunRecord>> runs(const std::string& project, std::size_t limit) const;
  /// The newest run of a project, finished or not.
  Result<std::optional<TestRunRecord>> last_run(const std::string& project) const;
  /// All attempts of a run, in the order in which they ended; `only_bad`: last attempts that failed, error or lost.
  Result<std::vector<TestResultRecord>> results(std::int64_t run, bool only_bad = false) const;
  /// The past of one test, newest first, over all containers: only last attempts.
  Result<std::vector<TestMoment>> trend(const std::string& project, const std::string& node, std::size_t limit = 20) const;
  /// Tests that passed and failed in one run, or in runs of the same source; most often first.
  Result<std::vector<TestSummary>> flaky(const std::string& project, std::size_t limit) const;
  /// Tests by the mean of their last three durations, longest first.
  Result<std::vector<TestSummary>> slowest(const std::string& project, std::size_t limit) const;
  /// Tests that failed when they ran last.
  Result<std::vector<TestSummary>> failing(const std::string& project, std::size_t limit) const;
  /// Directories of all projects of which a run is kept.
  Result<std::vector<std::string>> projects() const;

  /// Removes runs that began before, and tests that are in no other. Number of runs.
  Result<std::int64_t> prune(std::int64_t before_ms);

 private:
  TestHistory(Database database, std::string note) : database_(std::move(database)), note_(std::move(note)) {}
  Result<std::int64_t> id_of(const char* table, const char* column, const std::string& value);
  Result<void> add_all(std::int64_t run, std::int64_t project, std::span<const TestResultRecord> results);
  Result<std::int64_t> remove_runs(const std::string& which);
  Result<std::vector<TestSummary>> summaries(const std::string& project, const std::string& condition, const std::string& order,
                                             std::size_t limit) const;
  Database database_;
  std::string note_;
};

}  // namespace casemate
