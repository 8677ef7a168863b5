// Changed files are collected beside the engine's own thread.
#include <csignal>
#include <vector>

#include "engine_test.h"

namespace casemate {
namespace {

class CollectingTest : public EngineTest {
 protected:
  // Leaves so much that collecting it takes a while, and a small file that is collected before that, in whatever order it is done.
  Job maker() {
    Job job = shell("cd /app && echo 1 > a && i=0; while [ $i -lt 8 ]; do head -c 24M /dev/urandom > big$i; i=$((i+1)); done; echo 1 > z");
    job.cwd = "/app";
    job.limits.disk_bytes = 400 << 20;
    job.limits.memory_bytes = 1ull << 30;
    job.mounts = {{.kind = Mount::Kind::overlay, .target = "/app"}};
    job.collect = {"/app"};
    job.collect_to = dir_ / "out";
    return job;
  }
  // Says "seen" when one of the small files has come out, and then sleeps.
  Job watcher() {
    fs::create_directory(dir_ / "out");
    fs::permissions(dir_ / "out", fs::perms::all);
    Job job = shell("until [ -e /out/a ] || [ -e /out/z ]; do sleep 0.01; done; echo seen; exec sleep ${LATER:-0}");
    job.mounts = {{.kind = Mount::Kind::bind, .source = dir_ / "out", .target = "/out"}};
    return job;
  }
};

TEST_F(CollectingTest, OtherJobsAreHeardMeanwhile) {
  make_engine({.slots = 2});
  std::vector<std::string> events;
  Hears making;
  JobResult made;
  making.on_finished = [&](JobResult result) {
    events.push_back("made");
    made = std::move(result);
  };
  Hears watching;
  watching.on_output = [&](Stream, std::string_view) { events.push_back("seen"); };
  ASSERT_TRUE(engine_->submit(watcher(), watching));
  ASSERT_TRUE(engine_->submit(maker(), making));
  ASSERT_TRUE(engine_->run_until_idle());
  EXPECT_TRUE(made.outcome.succeeded()) << words(made.outcome);
  EXPECT_EQ(made.changes.size(), 10u);
  EXPECT_EQ(made.collect_error, "");
  EXPECT_EQ(events, (std::vector<std::string>{"seen", "made"}));
}

TEST_F(CollectingTest, ASignalEndsIt) {
  const Job maker_job = maker();
  Job watcher_job = watcher();
  watcher_job.env["LATER"] = "1000";
  in_child([&] {
    auto engine = Engine::create({.slots = 2});
    ASSERT_TRUE(engine);
    ASSERT_TRUE((*engine)->cancel_on_signals());
    JobResult made;
    Hears making;
    making.on_finished = [&](JobResult result) { made = std::move(result); };
    Hears watching;
    watching.on_output = [&](Stream, std::string_view) { ::kill(::getpid(), SIGTERM); };
    ASSERT_TRUE((*engine)->submit(watcher_job, watching));
    ASSERT_TRUE((*engine)->submit(maker_job, making));
    ASSERT_TRUE((*engine)->run_until_idle());
    EXPECT_TRUE(made.outcome.succeeded()) << words(made.outcome);
    EXPECT_TRUE(made.changes_truncated);
    EXPECT_NE(made.collect_error.find("cancelled"), std::string::npos) << made.collect_error;
    EXPECT_LT(made.changes.size(), 10u);
  });
}

}  // namespace
}  // namespace casemate
