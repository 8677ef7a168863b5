#include "session/request.h"

#include <array>

namespace casemate {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, 5> kWords = {"test", "class", "module", "file", "cold"};

}  // namespace

std::string_view word(Isolation isolation) { return kWords[static_cast<std::size_t>(isolation)]; }

std::optional<Isolation> isolation_of(std::string_view word) {
  for (std::size_t at = 0; at < kWords.size(); ++at) {
    if (kWords[at] == word) return static_cast<Isolation>(at);
  }
  return std::nullopt;
}

}  // namespace casemate
