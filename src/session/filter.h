// filter: maelstrom-pytest's language to select tests: `file.equals(tests/test_a.py) && !markers.contains(slow)`. Its book's grammar.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "engine/events.h"

namespace casemate {

/// A parsed expression; cheap to copy.
///
///   either   := both { ("||" | "|" | "or") both }
///   both     := negation { ("&&" | "&" | "+" | "and") negation | ("-" | "\" | "minus") negation }      A - B - C is (A - B) - C
///   negation := { "!" | "~" | "not" } simple
///   simple   := "(" either ")" | name [ "()" ] | selector "." operator parameter | "markers" "." "contains" parameter
///   name     := all | any | true | none | false
///   selector := file | name | node_id | package           package is always "default"
///   operator := equals | contains | starts_with | ends_with | matches (a regular expression, anywhere) | globs (the whole text)
///
/// A parameter stands in () [] {} <> or //, and may hold more of its own brackets in pairs. Names may be cut to what only one of them
/// begins with; `n.` is name. In globs `*` and `?` take a '/' too; `**/` is any directories.
class TestFilter {
 public:
  /// invalid_input: "column C: ..." in one line: what is wrong there, with the nearest known word.
  static Result<TestFilter> parse(std::string_view text);
  /// Whether it takes the test. Never fails; patterns are matched in linear time (RE2).
  [[nodiscard]] bool takes(const TestCase& test) const;

  /// A part of an expression; only filter.cc looks into it.
  struct Node;

 private:
  explicit TestFilter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace casemate
