// maelstrom_text: the lines of the simple display of maelstrom-pytest, for people and scripts that know them.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/events.h"
#include "report/test_words.h"

namespace casemate {

/// OK, FAIL, TIMEOUT, ERR or IGNORED. Skipped is IGNORED, xfailed and xpassed are OK.
[[nodiscard]] Label maelstrom_label(const TestResult& result);

/// "tests/test_a.py::test_b......OK   0.123s", filled to `columns`; of a longer name the end, after "<"; blanks for the time of what is
/// IGNORED, ERR or a file that could not be collected. Without newline.
[[nodiscard]] std::string maelstrom_line(const TestResult& result, std::size_t columns, bool colors);

/// What follows the line of a test that did not pass: what became of its process, pytest's text and captured output under pytest's
/// headings, and what went past the capture, "stderr: " before each line of that stream. Printable.
[[nodiscard]] std::string maelstrom_details(const TestResult& result, std::uint64_t limit);

/// What the summary needs to know, over all repetitions of a run; names are printable.
struct MaelstromSummary {
  std::size_t succeeded = 0;
  std::vector<std::string> failed;
  std::vector<std::string> ignored;
  std::unordered_set<std::string> ignored_ids;
  std::size_t not_run = 0;
  /// False: an earlier repetition has ignored it already; one row and one line are enough.
  bool add(const TestResult& result);
};

/// The block "==== Test Summary ====" with counts and names, after an empty line.
[[nodiscard]] std::string maelstrom_summary(const MaelstromSummary& summary, std::size_t columns, bool colors);

}  // namespace casemate
