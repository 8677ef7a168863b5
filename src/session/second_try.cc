#include "session/second_try.h"

#include <utility>

namespace casemate {
namespace {

constexpr int kRounds = 4;

}  // namespace

SecondTries::Next SecondTries::after(std::size_t test, TestResult& result) {
  needs_others_ = false;
  const auto found = tried_.find(test);
  if (found == tried_.end()) {
    tried_[test] = {.alone = std::move(result), .whole = {}};
    return Next::try_whole;
  }
  Tried& tried = found->second;
  const bool bad = is_bad(result.verdict);
  if (bad != tried.with_all) {  // as one that needs the others
    if (tried.with_all) tried.whole = std::move(result);
    if (!tried.with_all && ++tried.rounds == kRounds) {
      result = std::move(*tried.whole);
      needs_others_ = true;
    } else {
      tried.with_all = !tried.with_all;
      return tried.with_all ? Next::try_whole : Next::try_alone;
    }
  } else if (tried.whole) {
    result = std::move(tried.alone);
    result.reason += " (it passed when it was tried again)";
  }
  tried_.erase(found);
  return Next::report;
}

}  // namespace casemate
