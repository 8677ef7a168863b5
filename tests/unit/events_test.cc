// The words of verdicts.
#include "engine/events.h"

#include <set>

#include <gtest/gtest.h>

namespace casemate {
namespace {

TEST(Events, each_verdict_has_a_word_of_its_own_that_leads_back) {
  std::set<std::string_view> words;
  for (std::size_t i = 0; i < kVerdicts; ++i) {
    const auto verdict = static_cast<Verdict>(i);
    words.insert(word(verdict));
    EXPECT_EQ(verdict_of(word(verdict)), verdict);
  }
  EXPECT_EQ(words.size(), kVerdicts);
  EXPECT_EQ(word(Verdict::xpassed), "xpassed");
  EXPECT_EQ(word(static_cast<Verdict>(200)), "lost");
  EXPECT_EQ(verdict_of("Passed"), std::nullopt);
  EXPECT_EQ(verdict_of(""), std::nullopt);
}

TEST(Events, failed_error_and_lost_make_a_run_fail) {
  for (std::size_t i = 0; i < kVerdicts; ++i) {
    const auto verdict = static_cast<Verdict>(i);
    EXPECT_EQ(is_bad(verdict), verdict == Verdict::failed || verdict == Verdict::error || verdict == Verdict::lost) << word(verdict);
  }
}

}  // namespace
}  // namespace casemate
