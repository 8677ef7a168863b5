// html: a run of tests as one HTML page that needs nothing else: no server, no network, no file beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/events.h"
#include "report/report_file.h"
#include "store/test_history.h"

namespace casemate {

/// `text` fit for a page: escape sequences of terminals removed, all line ends newlines, other control characters and bidirectional
/// overrides visible (base/terminal.h), valid UTF-8. Not escaped for HTML.
[[nodiscard]] std::string page_text(std::string_view text);

/// The source of one script or style element for a page's policy (CSP 3, 2.3.1): 'sha256-...' of its `text`.
[[nodiscard]] std::string policy_digest(std::string_view text);

/// How a test ended in an earlier run.
struct HtmlPast {
  std::int64_t began_ms = 0;  ///< of that run, Unix time
  Verdict verdict = Verdict::lost;
  std::int64_t duration_us = 0;
};
/// The results of a test by its node id, newest first; those of the run on the page, and of later ones, may be among them.
using PastOf = std::function<std::vector<HtmlPast>(const std::string& id)>;
/// The newest of each test of `project`, enough for a page; `history` must outlive it.
[[nodiscard]] PastOf past_in(const TestHistory& history, std::string project);

/// What a page holds. Bytes are of hostile texts as they came.
struct HtmlOptions {
  std::string path;
  PastOf past;                            ///< may be empty; asked at the end of a run
  std::size_t tests_with_past = 5000;     ///< of those that failed or were flaky, and as many of the others
  std::uint64_t passed_text = 2 << 10;    ///< most of each text of a test that passed
  std::uint64_t failed_text = 256 << 10;  ///< and of one that did not
  std::uint64_t all_texts = 64 << 20;     ///< past this a failure has 1 KiB of each text, and others have none
};

/// Writes the page while the run goes, in bounded memory; it appears at run_finished(), whole, at its path. Repetitions of a run are added
/// to it one by one.
class HtmlReport : public Sink {
 public:
  explicit HtmlReport(HtmlOptions options) : options_(std::move(options)) {}
  void run_started(const RunStart& run) override;
  void collected(const Collected& collected) override;
  void test_finished(const TestResult& result) override;
  void note(std::string_view line) override;
  [[nodiscard]] std::string problem() const override { return problem_.empty() ? "" : "the HTML page: " + problem_; }
  std::string run_finished(const RunEnd& end) override;

 private:
  void keep(const Result<void>& written);
  Result<void> begin(const RunStart& run);
  void add_row(const TestResult& result, bool in_slot);
  void flush_rows();
  [[nodiscard]] std::uint64_t text_limit(const TestResult& result) const;
  Result<void> end_run(const RunEnd& end);

  HtmlOptions options_;
  std::optional<ReportFile> file_;
  std::uint64_t data_end_ = 0;  // of the runs in file_ that are complete
  std::int64_t began_ms_ = 0;   // the run, Unix time
  std::string rows_;            // of the block that is being filled
  std::string container_;       // of the last row
  std::uint64_t texts_ = 0;
  std::vector<std::string> bad_;  // ids whose past is asked
  std::vector<std::string> good_;
  std::vector<std::string> notes_;
  std::string python_;
  std::string pytest_;
  std::size_t deselected_ = 0;
  std::string problem_;
};

}  // namespace casemate
