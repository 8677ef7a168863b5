// coverage: what tests measured, gathered from all forks, and pytest-cov's reports of it, made at the end by an interpreter in a cell.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "casemate/engine.h"
#include "sys/fd.h"

namespace casemate {

/// What came of a report.
struct CoverageReport {
  std::string text;                ///< what pytest-cov printed; not made safe for a screen
  bool failed = false;             ///< it is less than --cov-fail-under, or there is no report
  std::vector<std::string> notes;  ///< for people: what could not be done
};

/// Gathers lines in a nameless file, equal ones once.
class Coverage {
 public:
  /// One line {"coverage": ...} of a stream (warm/protocol.h). What can't be kept is told by report().
  void add(std::string_view line);
  /// Whether anything was measured: else there is nothing to report.
  [[nodiscard]] bool any() const { return static_cast<bool>(file_); }
  /// Has pytest-cov combine and report all that was added, in a cell of the warm executor `executor`, and writes its files below
  /// `directory`, over what is there: its file of data, and reports, which may not be anything that could be run or is a setting.
  /// `failed` is how many tests failed.
  CoverageReport report(Engine& engine, const std::string& executor, const std::string& directory, std::size_t failed);

 private:
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::unordered_set<std::size_t> known_;  // hashes of lines
  std::string problem_;
};

/// Whether a cell may have a file of this relative path written into the project: data and reports of coverage, nothing else.
[[nodiscard]] bool is_coverage_file(std::string_view path);

}  // namespace casemate
