// nearest: which known word somebody meant who typed another.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// The one of `known` that is fewest changes of one byte (or swaps of two neighbours) from `word`, if that is at most a third of its length
/// and at least one; "" if there is none, or `word` has more than 64 bytes. Of equally near ones the first.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string_view>& known);

/// ", did you mean 'x'?" for the nearest, else "; known are a, b, c".
[[nodiscard]] std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace casemate
