// ascii: letters without a locale.
#pragma once

#include <string>
#include <string_view>

namespace casemate {

/// `text` with A to Z as a to z; all other bytes stay.
[[nodiscard]] inline std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& byte : lower) byte = static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
  return lower;
}

}  // namespace casemate
