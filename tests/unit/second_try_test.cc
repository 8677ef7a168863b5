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

constexpr Next kReport{.report = true}, kWhole{.whole = 1}, kAlone{.alone = 1};

Next after(SecondTries& tries, bool whole, TestResult result, TestResult* reported = nullptr, bool at_once = false) {
  const Next next = tries.after(7, whole, result, at_once);
  if (next.report && reported) *reported = std::move(result);
  return next;
}

TEST(SecondTry, AFailureAloneAndWithAllOthersIsOne) {
  for (const bool at_once : {false, true}) {
    SecondTries tries;
    TestResult reported;
    EXPECT_FALSE(tries.await(7));
    EXPECT_EQ(after(tries, false, ended(Verdict::failed, "alone"), nullptr, at_once), kWhole);
    EXPECT_TRUE(tries.await(7));
    EXPECT_EQ(after(tries, true, ended(Verdict::failed, "whole"), &reported, at_once), kReport);
    EXPECT_EQ(reported.verdict, Verdict::failed);
    EXPECT_EQ(reported.reason, "whole");
    EXPECT_FALSE(tries.needs_others());
    EXPECT_FALSE(tries.await(7));
  }
}

TEST(SecondTry, WhatAlwaysFailsAloneAndPassesWithAllOthersNeedsThem) {
  SecondTries tries;
  TestResult reported;
  for (int round = 0; round < 4; ++round) {
    EXPECT_EQ(after(tries, false, ended(round == 2 ? Verdict::error : Verdict::failed)), kWhole);
    EXPECT_EQ(after(tries, true, ended(Verdict::passed)), kAlone);
    EXPECT_FALSE(tries.needs_others());
  }
  EXPECT_EQ(after(tries, false, ended(Verdict::failed), &reported), kReport);
  EXPECT_EQ(reported.verdict, Verdict::passed);
  EXPECT_TRUE(tries.needs_others());
}

TEST(SecondTry, WhatPassesAloneOrFailsWithAllOthersLaterKeepsItsFirstFailure) {
  for (const bool with_all : {false, true}) {
    SecondTries tries;
    TestResult reported;
    EXPECT_EQ(after(tries, false, ended(Verdict::failed, "first")), kWhole);
    EXPECT_EQ(after(tries, true, ended(Verdict::passed)), kAlone);
    if (with_all) {
      EXPECT_EQ(after(tries, false, ended(Verdict::failed, "later")), kWhole);
    }
    EXPECT_EQ(after(tries, with_all, ended(with_all ? Verdict::failed : Verdict::passed, "last"), &reported), kReport);
    EXPECT_EQ(reported.verdict, Verdict::failed);
    EXPECT_EQ(reported.reason, "first (it passed when it was tried again)");
    EXPECT_FALSE(tries.needs_others());
  }
}

// The same number of tries, in whatever order they end.
TEST(SecondTry, AtOnceAllAreAwaitedAndCount) {
  for (const bool needs : {true, false}) {
    SecondTries tries;
    TestResult reported;
    EXPECT_EQ(after(tries, false, ended(Verdict::failed, "first"), nullptr, true), kWhole);
    EXPECT_EQ(after(tries, true, ended(Verdict::passed), nullptr, true), (Next{.alone = 4, .whole = 3}));
    for (const bool whole : {false, true, true, false, false, true}) {
      const bool odd = !needs && !whole;
      EXPECT_EQ(after(tries, whole, ended(whole || odd ? Verdict::passed : Verdict::failed), nullptr, true), Next{});
      EXPECT_TRUE(tries.await(7));
    }
    EXPECT_EQ(after(tries, false, ended(Verdict::failed), &reported, true), kReport);
    EXPECT_FALSE(tries.await(7));
    EXPECT_EQ(tries.needs_others(), needs);
    EXPECT_EQ(reported.verdict, needs ? Verdict::passed : Verdict::failed);
    EXPECT_EQ(reported.reason, needs ? "" : "first (it passed when it was tried again)");
  }
}

TEST(SecondTry, ManyOfAFileSpeakForEachOther) {
  SecondTries tries;
  const auto both = [&](std::size_t test, Verdict with_all) {
    TestResult result = ended(Verdict::failed);
    result.test.file = "test_a.py";
    EXPECT_EQ(tries.after(test, false, result, true), kWhole);
    result = ended(with_all);
    result.test.file = "test_a.py";
    return tries.after(test, true, result, true);
  };
  const Next more{.alone = 4, .whole = 3};
  for (std::size_t test = 0; test < 8; ++test) EXPECT_EQ(both(test, Verdict::passed), more);
  EXPECT_EQ(both(8, Verdict::failed), kReport);
  EXPECT_FALSE(tries.needs_others());
  for (std::size_t test = 9; test < 18; ++test) EXPECT_EQ(both(test, Verdict::passed), more) << "not in a row";
  EXPECT_EQ(both(18, Verdict::passed), kReport);
  EXPECT_TRUE(tries.needs_others());
  EXPECT_FALSE(tries.await(18));
}

TEST(SecondTry, EachTestHasItsOwnTries) {
  SecondTries tries;
  TestResult one = ended(Verdict::failed);
  TestResult other = ended(Verdict::failed);
  EXPECT_EQ(tries.after(1, false, one, false), kWhole);
  EXPECT_EQ(tries.after(2, false, other, false), kWhole);
  other = ended(Verdict::passed);
  EXPECT_EQ(tries.after(2, true, other, false), kAlone);
  EXPECT_TRUE(tries.await(1));
}

}  // namespace
}  // namespace casemate
