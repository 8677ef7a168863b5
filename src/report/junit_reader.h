// junit_reader: JUnit XML that somebody else's pytest wrote, as plain data. The bytes are hostile: no entities are expanded, all is
// bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// One <testcase>.
struct JUnitCase {
  std::string class_name;
  std::string name;
  std::string time;  ///< seconds, verbatim
  /// failure and error may both be there (a test that failed, and its fixture's tear-down): texts of all, in order, with an empty line
  /// between.
  bool failed = false;
  bool errored = false;
  bool skipped = false;
  std::string text;     ///< the elements' content
  std::string message;  ///< their message attributes: of a skip its reason
};

/// All <testsuite>s of a report together.
struct JUnitDocument {
  std::string time;  ///< seconds, verbatim, of the first suite; "" if it says none
  std::vector<JUnitCase> cases;
  std::uint64_t dropped_bytes = 0;  ///< of texts that were cut
};

/// The bounds of read_junit(); texts are cut, the rest is an error.
inline constexpr std::uint64_t kMostJUnitBytes = 64ull << 20;
inline constexpr std::size_t kMostJUnitCases = 100'000;
inline constexpr std::size_t kMostJUnitText = 64u << 10;  ///< of one case, head and tail kept

/// Fails with corrupt for what is no JUnit report (one line that says where it breaks), exhausted past the bounds.
Result<JUnitDocument> read_junit(std::string_view xml);

}  // namespace casemate
