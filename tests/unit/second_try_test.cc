#include "session/second_try.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Next = SecondTries::Next;

TestResult ended(Verdict verdict, std::string reason = "") {
  TestResult result;
  result.verdict = verdict;
  result.reason = std::move(reason);
  return result;
}

Next after(SecondTries& tries, TestResult result, TestResult* reported = nullptr) {
  const Next next = tries.after(7, result);
  if (next == Next::report && reported) *reported = std::move(result);
  return next;
}

TEST(SecondTry, AFailureAloneAndWithAllOthersIsOne) {
  SecondTries tries;
  TestResult reported;
  EXPECT_FALSE(tries.await(7));
  EXPECT_EQ(after(tries, ended(Verdict::failed, "alone")), Next::try_whole);
  EXPECT_TRUE(tries.await(7));
  EXPECT_EQ(after(tries, ended(Verdict::failed, "whole"), &reported), Next::report);
  EXPECT_EQ(reported.verdict, Verdict::failed);
  EXPECT_EQ(reported.reason, "whole");
  EXPECT_FALSE(tries.needs_others());
  EXPECT_FALSE(tries.await(7));
}

TEST(SecondTry, WhatAlwaysFailsAloneAndPassesWithAllOthersNeedsThem) {
  SecondTries tries;
  TestResult reported;
  for (int round = 0; round < 4; ++round) {
    EXPECT_EQ(after(tries, ended(round == 2 ? Verdict::error : Verdict::failed)), Next::try_whole);
    EXPECT_EQ(after(tries, ended(Verdict::passed)), Next::try_alone);
    EXPECT_FALSE(tries.needs_others());
  }
  EXPECT_EQ(after(tries, ended(Verdict::failed), &reported), Next::report);
  EXPECT_EQ(reported.verdict, Verdict::passed);
  EXPECT_TRUE(tries.needs_others());
}

TEST(SecondTry, WhatPassesAloneOrFailsWithAllOthersLaterKeepsItsFirstFailure) {
  for (const bool with_all : {false, true}) {
    SecondTries tries;
    TestResult reported;
    EXPECT_EQ(after(tries, ended(Verdict::failed, "first")), Next::try_whole);
    EXPECT_EQ(after(tries, ended(Verdict::passed)), Next::try_alone);
    if (with_all) {
      EXPECT_EQ(after(tries, ended(Verdict::failed, "later")), Next::try_whole);
    }
    EXPECT_EQ(after(tries, ended(with_all ? Verdict::failed : Verdict::passed, "last"), &reported), Next::report);
    EXPECT_EQ(reported.verdict, Verdict::failed);
    EXPECT_EQ(reported.reason, "first (it passed when it was tried again)");
    EXPECT_FALSE(tries.needs_others());
  }
}

TEST(SecondTry, EachTestHasItsOwnTries) {
  SecondTries tries;
  TestResult one = ended(Verdict::failed);
  TestResult other = ended(Verdict::failed);
  EXPECT_EQ(tries.after(1, one), Next::try_whole);
  EXPECT_EQ(tries.after(2, other), Next::try_whole);
  other = ended(Verdict::passed);
  EXPECT_EQ(tries.after(2, other), Next::try_alone);
  EXPECT_TRUE(tries.await(1));
}

}  // namespace
}  // namespace casemate
