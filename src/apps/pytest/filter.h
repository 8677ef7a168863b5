// filter: maelstrom-pytest's language to select tests: `file.equals(tests/test_a.py) && !markers.contains(slow)`. Its book's grammar.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "engine/events.h"

namespace casemate {

/// A parsed expression; cheap to copy.
class TestFilter {
 public:
  /// invalid_input: what was expected at which column, with the nearest known word.
  static Result<TestFilter> parse(std::string_view text);
  /// Whether it takes the test. Never fails; patterns are matched in linear time (RE2).
  [[nodiscard]] bool takes(const TestCase& test) const;

 private:
  struct Node;
  explicit TestFilter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace casemate
