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

// Output below a directory that the job may write: it can put anything at the name, but not where the files go.
TEST_F(CollectingTest, TheDestinationIsTheDirectoryThatWasThereBeforeTheJob) {
  fs::create_directory(dir_ / "victim");
  fs::permissions(dir_ / "victim", fs::perms::all);
  const std::string victim = dir_ / "victim";
  const char* swaps[] = {"rm -rf /src/a/out; ln -s {} /src/a/out", "mv /src/a /src/b; mkdir /src/a; ln -s {} /src/a/out",
                         "mv /src/a/out /src/moved; ln -s {} /src/a/out"};
  for (const char* swap : swaps) {
    fs::remove_all(dir_ / "project");
    fs::create_directories(dir_ / "project/a/out");
    for (const char* place : {"project", "project/a", "project/a/out"}) fs::permissions(dir_ / place, fs::perms::all);
    Job job = shell(fmt::format(fmt::runtime(swap), victim) + "; mkdir /app/d; echo pwned > /app/d/x; echo pwned > /app/authorized_keys");
    job.cwd = "/app";
    job.mounts = {{.kind = Mount::Kind::overlay, .target = "/app"},
                  {.kind = Mount::Kind::bind, .source = dir_ / "project", .target = "/src", .writable = true, .owned = true}};
    job.collect = {"/app"};
    job.collect_to = dir_ / "project/a/out";
    const JobResult result = run(job);
    EXPECT_TRUE(result.outcome.succeeded()) << swap << words(result.outcome) << result.output.err;
    EXPECT_TRUE(files_below(victim).empty()) << swap;
    EXPECT_TRUE(fs::is_symlink(dir_ / "project/a/out")) << "the job did not swap it: " << swap;
  }
}

TEST_F(CollectingTest, ADestinationThatCannotBeMadeEndsTheJobBeforeItBegins) {
  Job job = command({"/bin/true"});
  job.cwd = "/app";
  job.mounts = {{.kind = Mount::Kind::overlay, .target = "/app"}};
  job.collect = {"/app"};
  job.collect_to = "/proc/no/such/place";
  const auto result = engine_->run(job);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().what.find("/proc/no/such/place"), std::string::npos) << result.error().what;
}

}  // namespace
}  // namespace casemate
