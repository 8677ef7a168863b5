#include "report/test_live.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/test_words.h"

namespace casemate {
namespace {

constexpr std::size_t kWidestBar = 30;
constexpr std::size_t kLeastBar = 8;

std::string bar(const LiveState& state, std::size_t width, bool colors) {
  const std::size_t whole = std::max<std::size_t>(state.selected, 1);
  const std::size_t full = std::min(state.finished, whole) * width / whole;
  const bool bad = state.counts.counts[static_cast<int>(Verdict::failed)] + state.counts.counts[static_cast<int>(Verdict::error)] +
                       state.counts.counts[static_cast<int>(Verdict::lost)] >
                   0;
  std::string done(full, '=');
  if (full > 0 && full < width) done.back() = '>';
  return "[" + painted(done, bad ? "31" : "32", colors) + std::string(width - full, ' ') + "]";
}

std::string test_line(const RunningTest& test, const LiveState& state, std::size_t columns, bool colors) {
  const bool slow = state.running->slow(test, state.now);
  const std::string time = fmt::format("{:>8}", short_time(std::max(state.now - test.began, std::chrono::microseconds(0))));
  std::string head = slow ? "SLOW " : "     ";
  if (test.attempt > 1) head += fmt::format("(try {}) ", test.attempt);
  const std::size_t used = time.size() + 1 + head.size();
  const std::string id = columns > used ? end_within(test.id, columns - used) : "";
  return begin_within(time, columns) + (columns > used ? " " + painted(head, slow ? "33" : "", colors) + id : "");
}

}  // namespace

std::string LiveArea::show(std::vector<std::string> lines, const Screen& screen) {
  const std::size_t most = std::max<std::size_t>(screen.rows, 2) - 1;
  if (lines.size() > most) lines.resize(most);
  if (lines.empty()) return clear();
  std::string bytes;
  std::size_t row = 0;
  const bool anew = lines_.size() != lines.size() || !(screen == screen_);
  if (anew) {
    bytes = clear();
    for (std::size_t i = 0; i < lines.size(); ++i) bytes += (i > 0 ? "\r\n" : "") + lines[i];
    row = lines.size() - 1;
  } else {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i] == lines_[i]) continue;
      if (i > row) bytes += fmt::format("\x1b[{}B", i - row);
      bytes += "\r" + lines[i] + "\x1b[K";
      row = i;
    }
  }
  lines_ = std::move(lines);
  screen_ = screen;
  if (bytes.empty()) return bytes;
  if (row > 0) bytes += fmt::format("\x1b[{}A", row);
  // DECAWM off: whatever a terminal thinks of the width of a name, a line stays one line.
  return "\x1b[?7l" + bytes + "\r\x1b[?7h";
}

std::string LiveArea::clear() {
  if (lines_.empty()) return "";
  lines_.clear();
  return "\r\x1b[J";
}

std::string short_time(std::chrono::microseconds time) {
  const auto seconds = time.count() / 1'000'000;
  if (seconds < 10) return fmt::format("{}.{}s", seconds, time.count() / 100'000 % 10);
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

std::string bar_line(const LiveState& state, std::size_t columns, bool colors) {
  const std::string numbers = state.selected > 0 ? fmt::format("{}/{}", state.finished, state.selected) : "collecting";
  const std::string counts = state.finished > 0 ? counts_line(state.counts, 0, 0, false) : "";
  const std::string time = short_time(state.now);
  std::size_t room = columns - std::min(columns, numbers.size());
  // In the order in which they are given up on a narrow screen: last the numbers, before them time, counts, bar.
  const auto fits = [&](std::size_t width) {
    if (room < width) return false;
    room -= width;
    return true;
  };
  const bool with_time = fits(time.size() + 2);
  const bool with_counts = !counts.empty() && fits(counts.size() + 2);
  const std::size_t width = std::min(room > 3 ? room - 3 : 0, kWidestBar);
  std::string line = width >= kLeastBar ? bar(state, width, colors) + " " : "";
  line += begin_within(numbers, columns);
  if (with_counts) line += "  " + counts_line(state.counts, 0, 0, colors);
  if (with_time) line += "  " + time;
  return line;
}

std::vector<std::string> live_lines(const LiveState& state, const Screen& screen, std::size_t most_tests, bool colors) {
  // One column stays free: in the last one some terminals wrap. One row too, for the cursor's line after the end.
  const std::size_t columns = screen.columns > 1 ? screen.columns - 1 : 1;
  const std::size_t rows = std::max<std::size_t>(screen.rows, 2) - 1;
  if (!state.running && state.selected == 0 && !state.progress.empty()) return {begin_within(state.progress, columns)};
  std::vector<std::string> lines = {bar_line(state, columns, colors)};
  if (!state.running) return lines;
  if (!state.progress.empty() && lines.size() < rows) lines.push_back(begin_within("     " + state.progress, columns));
  const std::vector<RunningTest>& tests = state.running->tests();
  const std::size_t room = std::min(rows - lines.size(), most_tests);
  const bool all = tests.size() <= room;
  const std::size_t shown = all ? tests.size() : room > 0 ? room - 1 : 0;
  for (std::size_t i = 0; i < shown; ++i) lines.push_back(test_line(tests[i], state, columns, colors));
  if (!all && room > 0) lines.push_back(begin_within(fmt::format("         ... and {} more", tests.size() - shown), columns));
  return lines;
}

}  // namespace casemate
