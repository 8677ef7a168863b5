// maelstrom_text: the lines of the simple display of maelstrom-pytest, for people and scripts that know them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/events.h"
#include "report/test_words.h"

namespace casemate {

/// OK, FAIL, TIMEOUT, ERR or IGNORED. Skipped is IGNORED, xfailed and xpassed are OK.
[[nodiscard]] Label maelstrom_label(const TestResult& result);

/// "tests/test_a.py::test_b......OK   0.123s", filled to `columns`; of a longer name the end, after "<". Without newline.
[[nodiscard]] std::string maelstrom_line(const TestResult& result, std::size_t columns, bool colors);

/// What follows the line of a test that did not pass: its text, what it wrote, "stderr: " before each line of that stream. Printable.
[[nodiscard]] std::string maelstrom_details(const TestResult& result, std::uint64_t limit);

/// What the summary needs to know; names are printable.
struct MaelstromSummary {
  std::size_t succeeded = 0;
  std::vector<std::pair<std::string, std::string>> failed;  ///< name, and "failure", "timed out" or "error"
  std::vector<std::string> ignored;
  std::size_t not_run = 0;
  void add(const TestResult& result);
};

/// The block "==== Test Summary ====" with counts and names, after an empty line.
[[nodiscard]] std::string maelstrom_summary(const MaelstromSummary& summary, std::size_t columns, bool colors);

}  // namespace casemate
