// test_live: the lines below the text that scrolls, on a terminal: a bar with counts, what else takes time, the tests that run.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/events.h"
#include "report/columns.h"
#include "report/running_tests.h"

namespace casemate {

/// Lines at the bottom of a terminal that are written over. The cursor rests at their upper left corner: terminals that break lines anew
/// when they get narrower take it along, so that clear() finds all of them, and whoever dies leaves a prompt where it began.
class LiveArea {
 public:
  /// The bytes that make the terminal show `lines` (printable, or of ours) there: only lines that changed, all of them after clear() or
  /// when `screen` has changed. What does not fit is cut off by the terminal, never wrapped; of more lines than rows the last are left out.
  [[nodiscard]] std::string show(std::vector<std::string> lines, const Screen& screen);
  /// The bytes that take it off; "" if it is not there.
  [[nodiscard]] std::string clear();
  [[nodiscard]] bool shown() const { return !lines_.empty(); }

 private:
  std::vector<std::string> lines_;
  Screen screen_;
};

/// What a live display tells about a run.
struct LiveState {
  std::size_t selected = 0;  ///< tests in all; 0: not known yet
  std::size_t finished = 0;  ///< of them
  RunEnd counts;             ///< so far
  std::chrono::microseconds now{0};
  std::string progress;                   ///< printable: what goes on besides tests; "" nothing
  const RunningTests* running = nullptr;  ///< null: not shown, there is only one line
};

/// "[=====>     ] 12/40  1 failed, 11 passed  3.2s", at most `columns` wide: narrow screens get less of it.
[[nodiscard]] std::string bar_line(const LiveState& state, std::size_t columns, bool colors);

/// The bar, the progress, and a line for each test that runs, as many as fit `screen` and at most `most_tests`.
[[nodiscard]] std::vector<std::string> live_lines(const LiveState& state, const Screen& screen, std::size_t most_tests, bool colors);

/// "0.3s", "12s", "2m05s", "1h02m".
[[nodiscard]] std::string short_time(std::chrono::microseconds time);

}  // namespace casemate
