#include "session/second_try.h"

#include <utility>

namespace casemate {
namespace {

constexpr std::size_t kRounds = 4;
constexpr std::size_t kInARow = 9;

}  // namespace

SecondTries::Next SecondTries::after(std::size_t test, bool whole, TestResult& result, bool at_once) {
  needs_others_ = false;
  const auto found = tried_.find(test);
  if (found == tried_.end()) {
    tried_.emplace(test, Tried{.alone = std::move(result), .whole = {}, .left_alone = kRounds, .left_whole = kRounds});
    return {.whole = 1};
  }
  Tried& tried = found->second;
  --tried.awaited;
  --(whole ? tried.left_whole : tried.left_alone);
  const bool bad = is_bad(result.verdict);
  if (!tried.whole) {
    std::size_t& in_a_row = in_a_row_[result.test.file];
    in_a_row = bad ? 0 : in_a_row + 1;
    if (bad || in_a_row > kInARow) {  // it fails either way, or needs others as those before
      needs_others_ = !bad;
      tried_.erase(found);
      return {.report = true};
    }
  }
  tried.otherwise |= bad == whole;
  if (whole && !bad && !tried.whole) tried.whole = std::move(result);
  const bool decided = tried.otherwise || tried.left_alone + tried.left_whole == 0;
  if (!decided && tried.awaited == 0) {
    const Next next = at_once ? Next{.alone = tried.left_alone, .whole = tried.left_whole} : whole ? Next{.alone = 1} : Next{.whole = 1};
    tried.awaited = next.alone + next.whole;
    return next;
  }
  if (tried.awaited > 0) return {};
  needs_others_ = !tried.otherwise;
  result = std::move(needs_others_ ? *tried.whole : tried.alone);
  if (!needs_others_) result.reason += " (it passed when it was tried again)";
  tried_.erase(found);
  return {.report = true};
}

}  // namespace casemate
