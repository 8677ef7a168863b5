// history_sink: a run of tests on its way into the history: a row for each result, in batches while the run goes, and all events of the run
// as the project's last, for `casemate show`.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/events.h"
#include "report/event_json.h"
#include "store/code_digest.h"
#include "store/run_log.h"
#include "store/test_history.h"

namespace casemate {

/// How a run is kept.
struct HistorySinkOptions {
  std::string directory;             ///< that of the TestHistory; "": state_directory()
  std::shared_ptr<CodeSurvey> code;  ///< asked for TestRunRecord::source; nullptr: it isn't known
  bool remote = false;               ///< on a remote engine, not here
  TestHistoryBounds bounds = {};
  std::size_t event_bytes = kEventLineLimit;  ///< one that would be longer loses texts
  std::size_t log_bytes = 64 << 20;           ///< past these, events keep no long texts, and past four times as many, none is kept
};

/// Writes what it hears once a second or every thousand results. What it can't write is no reason for a run to fail: it says so by
/// trouble(), not by problem() or run_finished().
class HistorySink : public Sink {
 public:
  /// `history` must outlive this.
  explicit HistorySink(TestHistory& history, HistorySinkOptions options = {}) : history_(history), options_(std::move(options)) {}

  void run_started(const RunStart& run) override;
  void progress(std::string_view line, bool finished) override;
  void collected(const Collected& collected) override;
  void test_finished(const TestResult& result) override;
  void note(std::string_view line) override;
  void tick(std::chrono::microseconds since_began) override;
  std::string run_finished(const RunEnd& end) override;

  /// The first thing that went wrong, on one line; "" if nothing did.
  [[nodiscard]] const std::string& trouble() const { return problem_; }

 private:
  using Clock = std::chrono::steady_clock;
  void keep(const TestResult& result);
  void log(const std::string& line);
  void flush();
  void spool() const;
  void give_up_rows(const Error& error);

  TestHistory& history_;
  HistorySinkOptions options_;
  TestRunRecord run_;
  std::string versions_;  ///< of what runs the code
  bool rows_ = false;     ///< they can be written
  std::vector<TestResultRecord> pending_;
  Clock::time_point flushed_ = Clock::now();
  std::optional<RunLogWriter> log_;
  std::string problem_;
};

}  // namespace casemate
