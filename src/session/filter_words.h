// filter_words: the words of the filter language, their abbreviations, and what a test's text is held against.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace re2 {
class RE2;
}

namespace casemate {

/// What of a test an expression looks at.
enum class FilterField : std::uint8_t { file, name, node_id, package, markers };
/// How it looks.
enum class FilterOperator : std::uint8_t { equals, contains, starts_with, ends_with, matches, globs };

/// The field of a word before a '.', also abbreviated ("f", "na", "n" for name, "m"). invalid_input: none, or more than one; says which.
Result<FilterField> filter_field(std::string_view word);
/// The operator of a word after the '.', also abbreviated ("eq", "c").
Result<FilterOperator> filter_operator(std::string_view word);
/// Whether a name that stands alone takes every test (all, any, true) or none (none, false), also abbreviated.
Result<bool> filter_constant(std::string_view word);

/// An operator with its parameter, ready for many tests; cheap to copy.
class FilterMatcher {
 public:
  FilterMatcher() = default;
  /// invalid_input: no regular expression (RE2's syntax), no glob.
  static Result<FilterMatcher> make(FilterOperator how, std::string_view parameter);
  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  FilterOperator how_ = FilterOperator::equals;
  std::string text_;
  std::shared_ptr<const re2::RE2> pattern_;
};

/// A glob as a regular expression for the whole text: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, a backslash before a plain character, `**/` at
/// the beginning or after a '/' (any directories), `/**` at the end (all below). invalid_input: brackets or braces that don't close.
Result<std::string> regex_of_glob(std::string_view glob);

}  // namespace casemate
