#include "engine/events.h"

namespace casemate {
namespace {

// By the value of Verdict.
constexpr std::string_view kWords[] = {"passed", "failed", "error", "skipped", "xfailed", "xpassed", "ignored", "cancelled", "lost"};
static_assert(std::size(kWords) == kVerdicts);

}  // namespace

std::string_view word(Verdict verdict) {
  const auto at = static_cast<std::size_t>(verdict);
  return at < kVerdicts ? kWords[at] : "lost";
}

std::optional<Verdict> verdict_of(std::string_view text) {
  for (std::size_t at = 0; at < kVerdicts; ++at) {
    if (kWords[at] == text) return static_cast<Verdict>(at);
  }
  return std::nullopt;
}

bool is_bad(Verdict verdict) { return verdict == Verdict::failed || verdict == Verdict::error || verdict == Verdict::lost; }

}  // namespace casemate
