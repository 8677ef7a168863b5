// test_console: a run of tests on a terminal or in a log: the sink that people read.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/events.h"
#include "report/live_output.h"
#include "report/maelstrom_text.h"
#include "report/running_tests.h"
#include "report/table.h"
#include "report/test_live.h"
#include "report/warnings_summary.h"

namespace casemate {

/// How a TestConsole shows a run.
struct ConsoleOptions {
  enum class Display : std::uint8_t {
    simple,  ///< a line a test, failures as they come and again at the end
    quiet,   ///< nothing before the summary but one bar, on a terminal
    fancy,   ///< failures as they come, and below them live lines; only for a terminal that can
  };
  int fd = 1;  ///< borrowed
  Display display = Display::simple;
  bool as_maelstrom = false;  ///< lines and summary of maelstrom-pytest in the simple and the quiet display
  bool of_plan = false;       ///< cases of a plan: none of pytest's words, failures once, what was skipped is in the summary
  bool on_github = false;     ///< a runner of GitHub Actions reads: no line of a test may be a workflow command
  Color color = Color::automatic;
  int verbosity = 0;                             ///< -1: only failures and summary; 1: reasons, properties, notes; 2: resources
  std::uint64_t inline_limit = 1'000'000;        ///< bytes of one test's texts that are shown
  std::chrono::milliseconds slow_after{60'000};  ///< 0: never
  std::uint32_t tries = 0;                       ///< at each test: 1 + retries; 0: not known, "FLAKY 2" and not "FLAKY 2/3"
};

/// Writes a run for people. Never blocks for long on a slow reader: more than 16 MiB that it has not taken, and the run waits for it. A
/// reader that went away is no failure, a full disk is one.
class TestConsole : public Sink {
 public:
  explicit TestConsole(const ConsoleOptions& options);
  /// Takes the live lines off.
  ~TestConsole() override;

  /// What `auto` means for `fd`: fancy for a terminal that can (TERM is set and not "dumb"), else simple.
  [[nodiscard]] static ConsoleOptions::Display display_for(int fd);

  void run_started(const RunStart& run) override;
  void progress(std::string_view line, bool finished) override;
  void collected(const Collected& collected) override;
  void test_started(const TestStart& start) override;
  void test_finished(const TestResult& result) override;
  void note(std::string_view line) override;
  void tick(std::chrono::microseconds since_began) override;
  void show_running() override;
  std::string run_finished(const RunEnd& end) override;

 private:
  // What the end says again of a test that went wrong.
  struct Kept {
    Label label;
    std::string id;   // printable
    std::string why;  // printable
    std::string text;
  };

  [[nodiscard]] bool simple() const { return options_.display == ConsoleOptions::Display::simple; }
  [[nodiscard]] bool fancy() const { return options_.display == ConsoleOptions::Display::fancy; }
  [[nodiscard]] bool quiet() const { return options_.display == ConsoleOptions::Display::quiet; }
  [[nodiscard]] bool plain_maelstrom() const { return options_.as_maelstrom && !fancy(); }
  [[nodiscard]] bool leaks(const TestResult& result) const;
  [[nodiscard]] std::size_t columns() const;
  void print(const std::string& text);
  void draw();
  [[nodiscard]] std::string live_bytes();
  void count(const TestResult& result);
  void keep(const TestResult& result, std::string text);
  void show_result(const TestResult& result);
  void show_maelstrom_result(const TestResult& result);
  void end_as_maelstrom(const RunEnd& end);
  [[nodiscard]] std::string result_line(const TestResult& result) const;
  [[nodiscard]] std::string more_lines(const TestResult& result) const;
  [[nodiscard]] std::string ending(const RunEnd& end) const;
  [[nodiscard]] std::string short_summary() const;

  ConsoleOptions options_;
  LiveOutput out_;
  bool colors_;
  bool live_;  // there are live lines
  LiveArea area_;
  LiveState state_;
  RunningTests running_;
  WarningsSummary warnings_;
  MaelstromSummary maelstrom_;
  std::string uncollected_;  // what the quiet display of maelstrom-pytest says of it at the end
  bool collected_ = false;
  std::size_t repeated_ = 0;  // tests of a repetition, without ignored ones
  std::uint32_t repetitions_left_ = 0;
  std::vector<Kept> kept_;
  std::size_t kept_bytes_ = 0;
  std::size_t deselected_ = 0;
  std::uint32_t slots_ = 1;
  std::size_t height_ = 0;  // of the live lines: what they once took they keep, so that nothing jumps
  std::chrono::microseconds drawn_{-1'000'000};
  std::chrono::steady_clock::time_point progress_told_;
};

}  // namespace casemate
