// github: what a run says to GitHub Actions: annotations in the log, and a summary of the step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// Where GitHub listens.
struct GithubOptions {
  int fd = 1;                ///< the step's log, borrowed
  std::string summary_path;  ///< $GITHUB_STEP_SUMMARY; "": no summary
  std::string workspace;     ///< $GITHUB_WORKSPACE: annotations name files relative to it; "": relative to the project

  /// Whether a runner of GitHub Actions reads us: $GITHUB_ACTIONS is "true".
  [[nodiscard]] static bool on_a_runner();
  [[nodiscard]] static GithubOptions from_environment();
};

/// At the end of a run: at most ten `::error` annotations, which is what GitHub shows of a step, one for each test that went wrong (the
/// last says how many more there are), a `::warning` for flaky ones and leaks, and the summary in Markdown, appended to the summary file
/// within its 1 MiB. Comes after the console among the sinks, for both write to the log.
class GithubReport : public Sink {
 public:
  explicit GithubReport(GithubOptions options) : options_(std::move(options)) {}

  void run_started(const RunStart& run) override;
  void collected(const Collected& collected) override;
  void test_finished(const TestResult& result) override;
  std::string run_finished(const RunEnd& end) override;

 private:
  // What is kept of a test that did not simply pass.
  struct Kept {
    std::string id;
    std::string file;
    std::uint32_t line = 0;
    std::string label;
    std::string why;   // or what it left behind
    std::string text;  // bounded
    bool bad = false;
  };

  void keep(const TestResult& result);
  [[nodiscard]] std::string annotations() const;
  [[nodiscard]] std::string summary(const RunEnd& end, std::size_t room) const;
  [[nodiscard]] std::string append_summary(const RunEnd& end) const;

  GithubOptions options_;
  RunStart run_;
  std::size_t deselected_ = 0;
  std::size_t bad_ = 0;  // all of them, kept or not
  std::vector<Kept> kept_;
  std::size_t kept_bytes_ = 0;
};

/// `text` as HTML text or the value of an attribute, printable, that GitHub's Markdown leaves as it is.
[[nodiscard]] std::string html_text(std::string_view text);

}  // namespace casemate
