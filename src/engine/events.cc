#include "engine/events.h"

#include <array>

namespace casemate {
namespace {

constexpr std::array<std::string_view, 9> kWords = {"passed",  "failed",  "error",     "skipped", "xfailed",
                                                    "xpassed", "ignored", "cancelled", "lost"};
static_assert(static_cast<std::size_t>(Verdict::lost) + 1 == kWords.size());

}  // namespace

std::string_view word(Verdict verdict) { return kWords[static_cast<std::size_t>(verdict)]; }

std::optional<Verdict> verdict_of(std::string_view word) {
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    if (kWords[i] == word) return static_cast<Verdict>(i);
  }
  return std::nullopt;
}

bool is_bad(Verdict verdict) { return verdict == Verdict::failed || verdict == Verdict::error || verdict == Verdict::lost; }

}  // namespace casemate
