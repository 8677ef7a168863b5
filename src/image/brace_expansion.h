// brace_expansion: "/{proc,sys}/" written out, as shells do it with commas.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// What a text with braces may become.
inline constexpr std::size_t kMostExpansions = 1024;

/// All texts that `text` stands for, in the order in which they are written: "a{b,c{d,}}" is "ab", "acd", "ac"; "{a}" is "a". A backslash
/// takes its meaning from the next byte; both stay in the result. With `classes`, what stands between [ and ] is left alone. Fails with
/// invalid_input for a brace that is not closed or not opened, more than kMostExpansions texts (or 1 MiB of them), or 32 levels.
Result<std::vector<std::string>> expand_braces(std::string_view text, bool classes);

/// `text` without the backslashes that expand_braces() left: "\{" is "{".
[[nodiscard]] std::string without_escapes(std::string_view text);

}  // namespace casemate
