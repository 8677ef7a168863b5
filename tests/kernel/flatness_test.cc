// An engine that has run many jobs, or was killed in the middle of one, leaves the host as it was.
#include <csignal>
#include <random>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <thread>

#include "engine_test.h"

namespace casemate {
namespace {

using std::chrono::milliseconds;

constexpr int kFdsOfACell = 8;  // pidfd, socket, stdout, stderr, those of its cgroups

class FlatnessTest : public EngineTest {};

// Each listener call ends one job and asks for the next, so that the queue itself does not grow.
void run_jobs(Engine& engine, const Job& job, int jobs) {
  int submitted = 0;
  int succeeded = 0;
  Hears hears;
  const auto submit = [&] {
    ++submitted;
    EXPECT_TRUE(engine.submit(job, hears));
  };
  hears.on_finished = [&](JobResult result) {
    if (result.outcome.succeeded())
      ++succeeded;
    else
      ADD_FAILURE() << words(result.outcome);
    if (submitted < jobs) submit();
  };
  for (int i = 0; i < 8 && submitted < jobs; ++i) submit();
  ASSERT_TRUE(engine.run_until_idle());
  EXPECT_EQ(succeeded, jobs);
}

TEST_F(FlatnessTest, ManyJobsInOneEngine) {
  make_engine({.slots = 2});
  const int jobs = std::getenv("CASEMATE_LONG_TESTS") ? 10'000 : 1'000;
  const Job job = command({"/bin/true"});
  run_jobs(*engine_, job, 100);
  const Traces before;
  const std::uint64_t resident = resident_bytes();
  const auto began = std::chrono::steady_clock::now();
  run_jobs(*engine_, job, jobs);
  const auto wall = std::chrono::duration_cast<std::chrono::duration<double>>(std::chrono::steady_clock::now() - began).count();
  const std::uint64_t grown = resident_bytes() - std::min(resident_bytes(), resident);
  EXPECT_LT(grown, 4u << 20);
  // Up to four cells made ahead wait as long as the engine lives, at each moment more or fewer of them; TearDown looks when they are gone.
  const Traces after;
  EXPECT_LE(after.fds, before.fds + 4 * kFdsOfACell);
  EXPECT_LE(after.cgroups.size(), 4u * 5u) << "hierarchies: memory, pids, cpu, cpuacct, blkio";
  EXPECT_EQ(before.mounts, after.mounts);
  EXPECT_EQ(before.cache, after.cache);
  RecordProperty("jobs", jobs);
  RecordProperty("milliseconds_a_job", fmt::format("{:.2f}", wall * 1000 / jobs));
  std::printf("%d jobs, %.2f ms each: resident %.1f MiB + %.1f KiB, fds %d -> %d, cgroups %zu -> %zu\n", jobs, wall * 1000 / jobs,
              static_cast<double>(resident) / 1048576, static_cast<double>(grown) / 1024, before.fds, after.fds, before.cgroups.size(),
              after.cgroups.size());
}

TEST_F(FlatnessTest, JobsThatEndBadly) {
  make_engine({.slots = 2});
  Job timed = shell("sleep 1000 & sleep 1000");
  timed.limits.wall = milliseconds(5);
  Job loud = shell("yes");
  loud.limits.output_bytes = 10'000;
  fs::create_directory(dir_ / "lower");
  Job overlay = shell("echo x > /work/file; exit 1");
  overlay.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .lower = {dir_ / "lower"}, .owned = true}};
  overlay.collect = {"/work"};
  const std::vector<Job> jobs = {timed, loud, overlay, command({"/no/such"}), shell("sleep 1000 & exit 3")};
  int ended = 0;
  Hears hears;
  hears.on_finished = [&](JobResult result) {
    ++ended;
    EXPECT_FALSE(result.outcome.succeeded()) << words(result.outcome);
  };
  const auto run_all = [&](int times) {
    for (int i = 0; i < times; ++i) {
      for (const Job& job : jobs) ASSERT_TRUE(engine_->submit(job, hears));
    }
    ASSERT_TRUE(engine_->run_until_idle());
  };
  run_all(5);
  const Traces before;
  const std::uint64_t resident = resident_bytes();
  run_all(30);
  EXPECT_EQ(ended, 35 * 5);
  EXPECT_LT(resident_bytes() - std::min(resident_bytes(), resident), 4u << 20);
  // The cells made ahead differ with the shape that was last expected; once the engine has gone, TearDown compares everything.
  EXPECT_EQ(before.mounts, our_mounts());
}

TEST_F(FlatnessTest, ManyEngines) {
  engine_.reset();
  const Traces before;
  const std::uint64_t resident = resident_bytes();
  for (int i = 0; i < 50; ++i) {
    make_engine();
    ASSERT_TRUE(run(command({"/bin/true"})).outcome.succeeded());
  }
  engine_.reset();
  expect_same(before, Traces());
  EXPECT_LT(resident_bytes() - std::min(resident_bytes(), resident), 4u << 20);
}

// Processes of the host whose environment has the token. Jobs have it; init has the engine's environment and counts as well.
std::vector<std::string> processes_with(const std::string& token) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (read(entry.path() / "environ").find(token) != std::string::npos || read(entry.path() / "cmdline").find(token) != std::string::npos)
      found.push_back(name + " " + read(entry.path() / "comm"));
  }
  return found;
}

// An engine in a process of its own that runs jobs until it is killed: some end at once, some never would.
[[noreturn]] void endless_engine(const std::string& token, const fs::path& lower) {
  auto engine = Engine::create({.slots = 2});
  if (!engine) ::_exit(1);
  Hears hears;
  int serial = 0;
  const auto submit = [&] {
    Job job;
    job.argv = {"/bin/sh", "-c", ++serial % 3 == 0 ? "sleep 1000 & setsid sleep 1000" : ":", token};
    job.env = {{"PATH", "/usr/bin:/bin"}, {"TOKEN", token}};
    job.limits = default_limits();
    if (serial % 3 == 0) job.limits.wall = milliseconds(20);
    job.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .lower = {lower}, .owned = true}};
    job.collect = {"/work"};
    (void)(*engine)->submit(job, hears);
  };
  hears.on_finished = [&](JobResult) { submit(); };
  for (int i = 0; i < 6; ++i) submit();
  (void)(*engine)->run_until_idle();
  ::_exit(2);
}

TEST_F(FlatnessTest, NothingOutlivesAnEngineThatIsKilled) {
  engine_.reset();
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  fs::create_directory(dir_ / "lower");
  const std::string mounts = our_mounts();
  std::minstd_rand random(static_cast<unsigned>(::getpid()));
  const int rounds = std::getenv("CASEMATE_LONG_TESTS") ? 100 : 20;
  milliseconds slowest{0};
  std::size_t swept = 0;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    const std::string token = fmt::format("casemate-token-{}-{}", ::getpid(), round);
    const auto life = milliseconds(random() % 100);
    std::fflush(nullptr);
    const pid_t engine = ::fork();
    ASSERT_GE(engine, 0);
    if (engine == 0) endless_engine(token, dir_ / "lower");
    std::this_thread::sleep_for(life);
    ::kill(engine, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(engine, &status, 0), engine);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the engine ended by itself: " << status;
    // Whatever the engine started is ours now: init of each cell, and with an init all of its cell.
    const auto killed = std::chrono::steady_clock::now();
    for (;;) {
      const pid_t ended = ::waitpid(-1, nullptr, WNOHANG | __WALL);
      if (ended < 0) break;
      if (ended > 0) continue;
      const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - killed);
      slowest = std::max(slowest, waited);
      if (waited > std::chrono::seconds(20)) {
        ADD_FAILURE() << "still there 20 s after the engine was killed, at " << life.count() << " ms";
        break;
      }
      std::this_thread::sleep_for(milliseconds(1));
    }
    EXPECT_EQ(processes_with(token), std::vector<std::string>());
    EXPECT_EQ(our_mounts(), mounts);
    swept += cgroups_of(engine).size();
    {
      const auto next = Engine::create();
      ASSERT_TRUE(next);
      EXPECT_EQ(cgroups_of(engine), std::vector<std::string>()) << "killed at " << life.count() << " ms";
    }
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  std::printf("%d engines killed: the last process was gone after %lld ms at most, %zu cgroups swept\n", rounds,
              static_cast<long long>(slowest.count()), swept);
}

}  // namespace
}  // namespace casemate
