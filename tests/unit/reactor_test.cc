#include "engine/reactor.h"

#include <vector>

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace casemate {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kNow{0};
constexpr milliseconds kLong{60'000};

class ReactorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Reactor::create();
    ASSERT_TRUE(made);
    reactor_ = std::move(*made);
  }
  void turn(milliseconds most) {
    const auto turned = reactor_->turn(most);
    ASSERT_TRUE(turned) << turned.error().what;
  }
  static UniqueFd event(unsigned count) { return UniqueFd(::eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK)); }
  std::unique_ptr<Reactor> reactor_;
};

TEST_F(ReactorTest, CallsAsLongAsThereIsSomethingToRead) {
  const UniqueFd fd = event(0);
  int calls = 0;
  ASSERT_TRUE(reactor_->watch(fd.get(), [&] { ++calls; }));
  turn(kNow);
  EXPECT_EQ(calls, 0);
  ::eventfd_write(fd.get(), 1);
  turn(kLong);
  turn(kLong);
  EXPECT_EQ(calls, 2) << "level-triggered";
  eventfd_t value = 0;
  ::eventfd_read(fd.get(), &value);
  turn(kNow);
  EXPECT_EQ(calls, 2);
}

TEST_F(ReactorTest, AClosedWriterWakes) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  bool called = false;
  ASSERT_TRUE(reactor_->watch(pipe->read.get(), [&] { called = true; }));
  pipe->write.reset();
  turn(kLong);
  EXPECT_TRUE(called);
}

TEST_F(ReactorTest, AWatchOfWhatCantBeWatchedFails) {
  EXPECT_FALSE(reactor_->watch(-1, [] {}));
  const UniqueFd fd = event(1);
  ASSERT_TRUE(reactor_->watch(fd.get(), [] {}));
  int calls = 0;
  EXPECT_FALSE(reactor_->watch(fd.get(), [&] { ++calls; })) << "one watch an fd";
}

TEST_F(ReactorTest, UnwatchEndsIt) {
  const UniqueFd fd = event(1);
  bool called = false;
  ASSERT_TRUE(reactor_->watch(fd.get(), [&] { called = true; }));
  reactor_->unwatch(fd.get());
  turn(kNow);
  EXPECT_FALSE(called);
  reactor_->unwatch(fd.get());  // once more is no error
  ASSERT_TRUE(reactor_->watch(fd.get(), [&] { called = true; }));
  turn(kLong);
  EXPECT_TRUE(called);
}

TEST_F(ReactorTest, ACallbackMayUnwatchItself) {
  const UniqueFd fd = event(1);
  auto alive = std::make_shared<int>(7);
  int seen = 0;
  ASSERT_TRUE(reactor_->watch(fd.get(), [this, alive, &fd, &seen] {
    reactor_->unwatch(fd.get());
    seen = *alive;  // what the callback holds must live until it returns
  }));
  turn(kLong);
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(alive.use_count(), 1) << "and no longer";
}

TEST_F(ReactorTest, ACallbackMayUnwatchAnotherThatIsReadyInTheSameTurn) {
  const UniqueFd first = event(1);
  const UniqueFd second = event(1);
  int calls = 0;
  const auto watch = [&](int own, int other) {
    ASSERT_TRUE(reactor_->watch(own, [this, other, &calls] {
      ++calls;
      reactor_->unwatch(other);
    }));
  };
  watch(first.get(), second.get());
  watch(second.get(), first.get());
  turn(kLong);
  EXPECT_EQ(calls, 1);
}

TEST_F(ReactorTest, AnFdUsedAnewInTheSameTurnDoesNotHearTheOldEvent) {
  UniqueFd first = event(1);
  UniqueFd second = event(1);
  int old_calls = 0;
  int new_calls = 0;
  UniqueFd fresh;
  // Whichever runs first closes the other and gives its number to an fd with nothing to read.
  const auto replace = [&](UniqueFd& other) {
    ++old_calls;
    const int number = other.get();
    reactor_->unwatch(number);
    other.reset();
    fresh = event(0);
    ASSERT_EQ(fresh.get(), number) << "the lowest free number";
    ASSERT_TRUE(reactor_->watch(number, [&] { ++new_calls; }));
  };
  ASSERT_TRUE(reactor_->watch(first.get(), [&] { replace(second); }));
  ASSERT_TRUE(reactor_->watch(second.get(), [&] { replace(first); }));
  turn(kLong);
  EXPECT_EQ(old_calls, 1);
  EXPECT_EQ(new_calls, 0);
}

TEST_F(ReactorTest, TimersComeInOrderAndNotBeforeTheirTime) {
  std::vector<int> order;
  const auto now = Reactor::Clock::now();
  reactor_->schedule(now + milliseconds(20), [&] { order.push_back(2); });
  reactor_->schedule(now + milliseconds(10), [&] { order.push_back(1); });
  reactor_->schedule(now + milliseconds(20), [&] { order.push_back(3); });
  while (order.size() < 3) turn(kLong);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_GE(Reactor::Clock::now() - now, milliseconds(20));
}

TEST_F(ReactorTest, ACancelledTimerIsNeverCalled) {
  bool called = false;
  const auto timer = reactor_->schedule(Reactor::Clock::now(), [&] { called = true; });
  reactor_->cancel(timer);
  reactor_->cancel(timer);
  reactor_->cancel(12'345);
  turn(kNow);
  EXPECT_FALSE(called);
}

TEST_F(ReactorTest, ATimerMayCancelAnotherThatIsDueAndScheduleAnew) {
  const auto now = Reactor::Clock::now();
  bool second_called = false;
  bool third_called = false;
  Reactor::TimerId second = 0;
  reactor_->schedule(now, [&] {
    reactor_->cancel(second);
    reactor_->schedule(now, [&] { third_called = true; });
  });
  second = reactor_->schedule(now, [&] { second_called = true; });
  turn(kNow);
  EXPECT_FALSE(second_called);
  EXPECT_TRUE(third_called);
}

TEST_F(ReactorTest, AnEventMayCancelATimerThatIsDueInTheSameTurn) {
  const UniqueFd fd = event(1);
  bool called = false;
  const auto timer = reactor_->schedule(Reactor::Clock::now(), [&] { called = true; });
  ASSERT_TRUE(reactor_->watch(fd.get(), [&] {
    reactor_->cancel(timer);
    reactor_->unwatch(fd.get());
  }));
  turn(kLong);
  EXPECT_FALSE(called);
}

TEST_F(ReactorTest, ManyReadyAtOnceAreAllHeard) {
  std::vector<UniqueFd> fds;
  int calls = 0;
  for (int i = 0; i < 200; ++i) {
    fds.push_back(event(1));
    ASSERT_TRUE(fds.back());
    ASSERT_TRUE(reactor_->watch(fds.back().get(), [this, fd = fds.back().get(), &calls] {
      ++calls;
      reactor_->unwatch(fd);
    }));
  }
  for (int i = 0; i < 200 && calls < 200; ++i) turn(kLong);
  EXPECT_EQ(calls, 200);
}

}  // namespace
}  // namespace casemate
