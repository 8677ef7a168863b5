#include "apps/agent/hindrance.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

using namespace std::chrono_literals;

TEST(Hindrance, isLookedAtAgainLaterAndLater) {
  Hindrance hindrance;
  Hindrance::Clock::time_point now{1000h};
  EXPECT_FALSE(hindrance.there());
  EXPECT_LT(hindrance.next_try(), now);
  for (const auto wait : {2s, 4s, 8s, 16s, 32s, 64s, 128s, 256s, 300s, 300s}) {
    hindrance.met("no room", now, 0);
    EXPECT_EQ(hindrance.next_try() - now, wait);
    now = hindrance.next_try();
  }
  EXPECT_EQ(hindrance.over(now), now - Hindrance::Clock::time_point(1000h));
  EXPECT_FALSE(hindrance.over(now));
  EXPECT_LT(hindrance.next_try(), now);
  hindrance.met("no room", now, 0.999999);
  EXPECT_EQ(std::chrono::round<std::chrono::seconds>(hindrance.next_try() - now), 1s);
}

TEST(Hindrance, isCountedOnceWhereSeveralMeetIt) {
  Hindrance hindrance;
  const Hindrance::Clock::time_point now{1000h};
  for (int i = 0; i < 5; ++i) hindrance.met("no room", now + i * 100ms, 0);
  EXPECT_EQ(hindrance.next_try() - now, 2s);
}

TEST(Hindrance, isOverSoonWhereSomethingWasFreed) {
  Hindrance hindrance;
  const Hindrance::Clock::time_point now{1000h};
  hindrance.hurry(now);
  EXPECT_LT(hindrance.next_try(), now);
  for (auto at = now; at < now + 1h; at = hindrance.next_try()) hindrance.met("no descriptors", at, 0);
  hindrance.hurry(now + 1h);
  EXPECT_EQ(hindrance.next_try(), now + 1h + 2s);
}

TEST(Hindrance, isSaidOnceInTenMinutes) {
  Hindrance hindrance;
  const Hindrance::Clock::time_point now{1000h};
  EXPECT_EQ(hindrance.met("no room", now, 0), LogLevel::error);
  EXPECT_EQ(hindrance.met("no room", now + 599s, 0), LogLevel::debug);
  EXPECT_EQ(hindrance.met("no room", now + 600s, 0), LogLevel::error);
  EXPECT_EQ(hindrance.met("no index", now + 601s, 0), LogLevel::error);
  hindrance.over(now + 602s);
  EXPECT_EQ(hindrance.met("no index", now + 603s, 0), LogLevel::debug);
  EXPECT_EQ(hindrance.what(), "no index");
  EXPECT_EQ(hindrance.met("no answer after 0 ms", now + 604s, 0), LogLevel::error);
  EXPECT_EQ(hindrance.met("no answer after 12 ms", now + 605s, 0), LogLevel::debug);
  EXPECT_EQ(hindrance.what(), "no answer after 12 ms");
}

}  // namespace
}  // namespace casemate
