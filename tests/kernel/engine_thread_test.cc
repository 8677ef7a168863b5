// An engine in a thread of its own, and callers in others.
#include "engine/engine_thread.h"

#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "engine_test.h"

namespace casemate {
namespace {

// Jobs of one poster: lives until they have finished.
struct Finished final : JobListener {
  std::promise<JobResult> result;
  void finished(JobResult ended) override { result.set_value(std::move(ended)); }
};

class EngineThreadTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    engine_.reset();
  }

  static std::unique_ptr<EngineThread> make_thread(std::size_t slots = 2) {
    auto made = EngineThread::create({.slots = slots});
    EXPECT_TRUE(made) << made.error().what;
    return made ? std::move(*made) : nullptr;
  }

  static std::future<JobResult> submit(EngineThread& thread, Finished& hears, Job job) {
    auto result = hears.result.get_future();
    const auto posted = thread.post([&hears, job = std::move(job)](Engine& engine) { (void)engine.submit(job, hears); });
    EXPECT_TRUE(posted) << posted.error().what;
    return result;
  }
};

TEST_F(EngineThreadTest, SeveralThreadsPostToOneEngine) {
  const auto thread = make_thread();
  ASSERT_TRUE(thread);
  std::atomic<int> right = 0;
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 3; ++i) {
        Finished hears;
        const std::string word = fmt::format("{}-{}", caller, i);
        const JobResult result = submit(*thread, hears, command({"/bin/echo", word})).get();
        if (result.outcome.succeeded() && result.output.out == word + "\n") ++right;
      }
    });
  }
  callers.clear();
  EXPECT_EQ(right, 12);
}

TEST_F(EngineThreadTest, WorkPostsWork) {
  const auto thread = make_thread();
  ASSERT_TRUE(thread);
  std::promise<std::thread::id> inner;
  ASSERT_TRUE(thread->post([&](Engine&) { EXPECT_TRUE(thread->post([&](Engine&) { inner.set_value(std::this_thread::get_id()); })); }));
  EXPECT_NE(inner.get_future().get(), std::this_thread::get_id());
}

TEST_F(EngineThreadTest, ItsEndCancelsWhatRunsAndWhatWaits) {
  auto thread = make_thread(1);
  ASSERT_TRUE(thread);
  Finished running;
  Finished waiting;
  auto first = submit(*thread, running, shell("echo on; exec sleep 1000"));
  auto second = submit(*thread, waiting, command({"/bin/true"}));
  thread.reset();
  EXPECT_EQ(first.get().outcome.kind, Outcome::Kind::cancelled);
  EXPECT_EQ(second.get().outcome.kind, Outcome::Kind::cancelled);
}

TEST_F(EngineThreadTest, ItsEndCancelsAJobThatWorkWaitsFor) {
  auto thread = make_thread(1);
  ASSERT_TRUE(thread);
  std::promise<Outcome> ended;
  std::promise<void> begun;
  ASSERT_TRUE(thread->post([&](Engine& engine) {
    Hears hears;
    hears.on_output = [&](Stream, std::string_view) { begun.set_value(); };
    const auto result = engine.run(shell("echo on; exec sleep 1000"), &hears);
    ended.set_value(result ? result->outcome : Outcome());
  }));
  begun.get_future().wait();
  thread.reset();
  EXPECT_EQ(ended.get_future().get().kind, Outcome::Kind::cancelled);
}

TEST_F(EngineThreadTest, WorkThatWaitsForAJobKeepsNothingBehindIt) {
  const auto thread = make_thread(1);
  ASSERT_TRUE(thread);
  std::promise<Outcome> ended;
  Hears hears;
  ASSERT_TRUE(thread->post([&](Engine&) {  // both are there when the first of them is taken
    EXPECT_TRUE(thread->post([&](Engine& engine) {
      const auto result = engine.run(command({"/bin/sleep", "1000"}), &hears);
      ended.set_value(result ? result->outcome : Outcome());
    }));
    EXPECT_TRUE(thread->post([&](Engine& engine) { engine.cancel(hears); }));
  }));
  EXPECT_EQ(ended.get_future().get().kind, Outcome::Kind::cancelled);
}

TEST_F(EngineThreadTest, CancellingWhatThereIsLeavesItUsable) {
  const auto thread = make_thread(1);
  ASSERT_TRUE(thread);
  Finished running;
  Finished waiting;
  Finished later;
  auto first = submit(*thread, running, command({"/bin/sleep", "1000"}));
  auto second = submit(*thread, waiting, command({"/bin/sleep", "1000"}));
  ASSERT_TRUE(thread->post([](Engine& engine) { engine.cancel_current(); }));
  EXPECT_EQ(first.get().outcome.kind, Outcome::Kind::cancelled);
  EXPECT_EQ(second.get().outcome.kind, Outcome::Kind::cancelled);
  EXPECT_TRUE(submit(*thread, later, command({"/bin/true"})).get().outcome.succeeded());
}

TEST_F(EngineThreadTest, TwoOfThemDoNotMeet) {
  const auto one = make_thread();
  const auto other = make_thread();
  ASSERT_TRUE(one && other);
  Finished hears[2];
  const std::string script = "i=0; while [ $i -lt 2000 ]; do echo %; i=$((i+1)); done";
  auto first = submit(*one, hears[0], command({"/bin/sh", "-c", script, "one"}));
  auto second = submit(*other, hears[1], command({"/bin/sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo +; i=$((i+1)); done"}));
  EXPECT_EQ(first.get().output.out.find('+'), std::string::npos);
  EXPECT_EQ(second.get().output.out.find('%'), std::string::npos);
}

TEST_F(EngineThreadTest, NoSignalIsDeliveredInIt) {
  const auto thread = make_thread();
  ASSERT_TRUE(thread);
  std::promise<bool> blocked;
  ASSERT_TRUE(thread->post([&](Engine&) {
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked.set_value(::sigismember(&mask, SIGINT) == 1 && ::sigismember(&mask, SIGTERM) == 1);
  }));
  EXPECT_TRUE(blocked.get_future().get());
}

TEST_F(EngineThreadTest, AChildOfForkIsTold) {
  auto thread = make_thread();
  ASSERT_TRUE(thread);
  in_child([&] {
    const auto posted = thread->post([](Engine&) {});
    ASSERT_FALSE(posted);
    EXPECT_EQ(posted.error().code, ErrorCode::not_supported);
    thread.reset();  // neither waits nor ends anything
  });
  Finished hears;
  EXPECT_TRUE(submit(*thread, hears, command({"/bin/true"})).get().outcome.succeeded());
}

TEST_F(EngineThreadTest, AnEngineThatCannotBeMadeIsAnError) {
  const auto made = EngineThread::create({.executor = "none"});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::not_supported);
}

}  // namespace
}  // namespace casemate
