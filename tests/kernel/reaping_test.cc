// A program that waits for any child takes the ends of ours, such as newuidmap's: jobs run all the same.
#include <atomic>
#include <thread>

#include <sys/wait.h>

#include "engine_test.h"
#include "sys/process.h"

namespace casemate {
namespace {

// A thread that reaps whatever it can while it lives.
class Reaper {
 public:
  Reaper()
      : thread_([this] {
          while (!over_) {
            if (::waitpid(-1, nullptr, WNOHANG) > 0) ++taken_;
          }
        }) {}
  ~Reaper() {
    over_ = true;
    thread_.join();
  }
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;
  [[nodiscard]] int taken() const { return taken_; }

 private:
  std::atomic<bool> over_ = false;
  std::atomic<int> taken_ = 0;
  std::thread thread_;
};

using ReapingTest = EngineTest;

TEST_F(ReapingTest, AnEndThatSomebodyElseTookIsSaidToBeUnknown) {
  const Reaper reaper;
  for (int turn = 0; turn < 200 && reaper.taken() == 0; ++turn) {
    const auto ran = run_program({"sh", "-c", "echo word"}, std::chrono::seconds(20));
    ASSERT_TRUE(ran) << ran.error().what;
    EXPECT_EQ(ran->out, "word\n");
    EXPECT_TRUE(ran->end.reaped_elsewhere || (!ran->end.signaled && ran->end.code == 0)) << ran->end.code;
  }
  EXPECT_GT(reaper.taken(), 0);
}

TEST_F(ReapingTest, JobsRunAllTheSame) {
  int taken = 0;
  {
    const Reaper reaper;
    for (int turn = 0; turn < 20; ++turn) {
      const JobResult result = run(command({"/bin/true"}));
      EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome);
    }
    taken = reaper.taken();
  }
  if (taken == 0) GTEST_SKIP() << "no program helps to make cells here: there was nothing to take";
}

}  // namespace
}  // namespace casemate
