// shell_words: one string split into the words a POSIX shell would make of it, without expanding anything.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// Splits as POSIX.1-2017 shell command language 2.2 (quoting) says: blanks and newlines part words; '...' keeps all; "..." keeps all but
/// \ before $ ` " \ and newline; \ outside quotes keeps the next byte, backslash-newline vanishes. Nothing is expanded: $, *, ~, |, #, ;
/// and & are ordinary bytes. Any bytes are taken. Fails with invalid_input for a quote that never closes and a backslash at the very end.
Result<std::vector<std::string>> split_shell_words(std::string_view text);

/// The reverse: words quoted so that a POSIX shell, and split_shell_words(), give the same words back.
[[nodiscard]] std::string join_shell_words(const std::vector<std::string>& words);

}  // namespace casemate
