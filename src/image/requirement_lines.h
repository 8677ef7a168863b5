// requirement_lines: a requirements file as pip reads it before it looks at any line: text encoding, continuations, comments, variables,
// quoted words.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// One logical line: continuations joined, comment and surrounding space gone, variables filled in.
struct RequirementLine {
  int number = 1;  ///< of its first line in the file, from 1
  std::string text;
};

/// Splits the bytes of the file called `name` (for messages). UTF-8 with or without byte order mark, or UTF-16 with one. invalid_input
/// "name:line: ..." for bytes that are no text, control characters, and lines over 64 KiB. Empty lines are left out.
Result<std::vector<RequirementLine>> requirement_lines(std::string_view bytes, std::string_view name,
                                                       const std::function<const char*(const std::string&)>& variable);

/// Words as a POSIX shell splits them: quotes and backslashes, no expansion. invalid_input for an open quote.
Result<std::vector<std::string>> shell_words(std::string_view text);

}  // namespace casemate
