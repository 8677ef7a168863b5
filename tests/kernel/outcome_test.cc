// Every way a job can end, for real.
#include <csignal>

#include "engine_test.h"

namespace casemate {
namespace {

using Kind = Outcome::Kind;
using std::chrono::milliseconds;

class OutcomeTest : public EngineTest {
 protected:
  static CgroupSupport cgroups() { return open_cgroups()->support(); }
  // The only child of this process: the init of the one job that runs.
  static pid_t init_pid() {
    return static_cast<pid_t>(std::strtol(read(fmt::format("/proc/self/task/{}/children", ::getpid())).c_str(), nullptr, 10));
  }
};

TEST_F(OutcomeTest, Exited) {
  for (const int code : {0, 1, 42, 125, 255}) {
    const JobResult result = run(shell(fmt::format("exit {}", code)));
    EXPECT_EQ(result.outcome, (Outcome{Kind::exited, code}));
    EXPECT_EQ(result.outcome.succeeded(), code == 0);
  }
}

TEST_F(OutcomeTest, Signaled) {
  for (const int number : {SIGTERM, SIGKILL, SIGSEGV, SIGHUP})
    EXPECT_EQ(run(shell(fmt::format("kill -{} $$", number))).outcome, (Outcome{Kind::signaled, number}));
}

TEST_F(OutcomeTest, TimedOutByTheWall) {
  Job job = shell("echo begun; sleep 60 & sleep 60");
  job.limits.wall = milliseconds(300);
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::timed_out) << words(result.outcome);
  EXPECT_NE(result.outcome.detail.find("wall"), std::string::npos) << result.outcome.detail;
  EXPECT_EQ(result.output.out, "begun\n");
  EXPECT_GE(result.resources.wall, milliseconds(300));
  EXPECT_LT(result.resources.wall, std::chrono::seconds(50));
}

TEST_F(OutcomeTest, TimedOutByTheCpu) {
  Job job = shell("while :; do :; done");
  job.limits.cpu_time = milliseconds(200);
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::timed_out) << words(result.outcome);
  EXPECT_NE(result.outcome.detail.find("CPU"), std::string::npos) << result.outcome.detail;
  // The kernel counts user and system time apart from the sum that the limit is held to; they lag behind it by a tick at most.
  if (cgroups().cpu) {
    EXPECT_GE(result.resources.user_cpu + result.resources.system_cpu, milliseconds(190));
  }
}

TEST_F(OutcomeTest, CpuTimeIsSummedOverProcesses) {
  Job job = shell("for i in 1 2 3 4; do (while :; do :; done) & done; wait");
  job.limits.cpu_time = milliseconds(300);
  EXPECT_EQ(run(job).outcome.kind, Kind::timed_out);
}

TEST_F(OutcomeTest, CpuTimeOfChildrenThatNobodyWaitsForCounts) {
  if (!cgroups().cpu) GTEST_SKIP() << "only a cgroup counts it: " << cgroups().reason;
  // Each child is too short-lived for init to see much of it, and its time goes to nobody's rusage.
  Job job = python(
      "import os, signal, time\n"
      "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
      "while True:\n"
      "  child = os.fork()\n"
      "  if child == 0:\n"
      "    end = time.process_time() + 0.03\n"
      "    while time.process_time() < end: pass\n"
      "    os._exit(0)\n"
      "  try: os.waitpid(child, 0)\n"
      "  except ChildProcessError: pass\n");
  job.limits.cpu_time = milliseconds(300);
  job.limits.wall = std::chrono::seconds(60);
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::timed_out) << words(result.outcome);
  EXPECT_NE(result.outcome.detail.find("CPU"), std::string::npos) << result.outcome.detail;
}

TEST_F(OutcomeTest, SleepIsNoCpuTime) {
  Job job = shell("sleep 0.5");
  job.limits.cpu_time = milliseconds(250);
  EXPECT_TRUE(run(job).outcome.succeeded());
}

TEST_F(OutcomeTest, OutOfMemory) {
  Job job = python("x = b'x' * (400 << 20)\nimport time\ntime.sleep(60)");
  job.limits.memory_bytes = 64 << 20;
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::out_of_memory) << words(result.outcome) << result.output.err;
  EXPECT_NE(result.outcome.detail.find("64"), std::string::npos) << result.outcome.detail;
  if (cgroups().memory) {
    ASSERT_TRUE(result.resources.peak_memory_bytes);
    EXPECT_LE(*result.resources.peak_memory_bytes, 64u << 20);
  } else {
    ASSERT_FALSE(result.notes.empty());
  }
}

TEST_F(OutcomeTest, OutOfMemoryOfAChildThatTheJobDoesNotMind) {
  if (!cgroups().memory) GTEST_SKIP() << "the watchdog ends the whole cell: " << cgroups().reason;
  if (kAddressSanitizer) GTEST_SKIP() << "with AddressSanitizer init, a copy of us, is the largest process and the kernel's choice";
  Job job = shell("python3 -c \"x = b'x' * (400 << 20)\" || true; echo on; exit 0");
  job.limits.memory_bytes = 64 << 20;
  const JobResult result = run(job);
  EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome);
  EXPECT_EQ(result.output.out, "on\n");
}

TEST_F(OutcomeTest, TooManyProcesses) {
  Job job = shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; echo all");
  job.limits.pids = 6;
  const JobResult result = run(job);
  EXPECT_EQ(result.output.out, "") << "the twelfth must not start";
  if (cgroups().pids) {
    EXPECT_EQ(result.outcome.kind, Kind::too_many_processes) << words(result.outcome);
    ASSERT_TRUE(result.resources.peak_pids);
    EXPECT_LE(*result.resources.peak_pids, 7u);
  } else {
    EXPECT_EQ(result.outcome.kind, Kind::exited) << "nobody counts refusals here";
    EXPECT_NE(result.outcome.code, 0);
    EXPECT_NE(std::find_if(result.notes.begin(), result.notes.end(),
                           [](const std::string& note) { return note.find("pids limit") != std::string::npos; }),
              result.notes.end());
  }
}

TEST_F(OutcomeTest, AllTheProcessesThatAreAllowed) {
  Job job = shell("for i in 1 2 3 4 5; do sleep 60 & done; echo all");
  job.limits.pids = 6;
  const JobResult result = run(job);
  EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome) << result.output.err;
  EXPECT_EQ(result.leftovers.size(), 5u);
}

TEST_F(OutcomeTest, OutputLimit) {
  Job job = shell("yes; sleep 60");
  job.limits.output_bytes = 1000;
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::output_limit) << words(result.outcome);
  EXPECT_EQ(result.output.out_total, 1000u);
  EXPECT_EQ(result.output.out.size(), 1000u);
}

TEST_F(OutcomeTest, OutputUpToTheLimitIsFine) {
  Job job = shell("head -c 600 /dev/zero; head -c 400 /dev/zero >&2");
  job.limits.output_bytes = 1000;
  const JobResult result = run(job);
  EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome);
  EXPECT_EQ(result.output.out_total, 600u);
  EXPECT_EQ(result.output.err_total, 400u);
}

TEST_F(OutcomeTest, OutputOfBothStreamsCounts) {
  Job job = shell("head -c 600 /dev/zero; head -c 401 /dev/zero >&2");
  job.limits.output_bytes = 1000;
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::output_limit) << words(result.outcome);
  EXPECT_EQ(result.output.out_total + result.output.err_total, 1000u);
}

TEST_F(OutcomeTest, DiskLimitOfTheRoot) {
  Job job = shell("head -c 4M /dev/zero > /tmp/file");
  job.limits.disk_bytes = 1 << 20;
  EXPECT_EQ(run(job).outcome.kind, Kind::disk_limit);
}

TEST_F(OutcomeTest, DiskLimitInFiles) {
  Job job = shell("set -e; i=0; while [ $i -lt 600 ]; do : > /tmp/$i; i=$((i+1)); done");
  job.limits.disk_inodes = 300;
  EXPECT_EQ(run(job).outcome.kind, Kind::disk_limit);
}

TEST_F(OutcomeTest, DiskLimitOfAnyWritableLayer) {
  fs::create_directory(dir_ / "lower");
  const Mount tmpfs{.kind = Mount::Kind::tmpfs, .target = "/work"};
  const Mount overlay{.kind = Mount::Kind::overlay, .target = "/work", .lower = {dir_ / "lower"}, .owned = true};
  const Mount empty{.kind = Mount::Kind::overlay, .target = "/work"};
  for (const Mount& mount : {tmpfs, overlay, empty}) {
    for (const bool collected : {false, true}) {
      Job job = shell("head -c 4M /dev/zero > /work/file");
      job.limits.disk_bytes = 1 << 20;
      job.mounts = {mount};
      if (collected && mount.kind == Mount::Kind::overlay) job.collect = {"/work"};
      const JobResult result = run(job);
      EXPECT_EQ(result.outcome.kind, Kind::disk_limit) << words(result.outcome) << result.output.err;
    }
  }
  Job job = shell("head -c 4M /dev/zero > /tmp/file");
  job.limits.disk_bytes = 1 << 20;
  job.read_only = true;
  EXPECT_EQ(run(job).outcome.kind, Kind::disk_limit);
}

TEST_F(OutcomeTest, DiskLimitOfADirectoryOfTheHost) {
  fs::create_directory(dir_ / "work");
  Job job = shell("head -c 1M /dev/zero > /work/some && echo begun && head -c 32M /dev/zero > /work/more && sleep 60");
  job.mounts = {
      {.kind = Mount::Kind::bind, .source = dir_ / "work", .target = "/work", .writable = true, .owned = true, .bytes = 8u << 20}};
  const JobResult result = run(job);
  EXPECT_EQ(result.outcome.kind, Kind::disk_limit) << words(result.outcome) << result.output.err;
  EXPECT_NE(result.outcome.detail.find("more than 8.0 MiB"), std::string::npos) << result.outcome.detail;
  EXPECT_EQ(result.output.out, "begun\n");
  job.argv[2] = "head -c 1M /dev/zero > /work/some; sleep 0.3";
  fs::remove(dir_ / "work/more");
  EXPECT_TRUE(run(job).outcome.succeeded());
}

TEST_F(OutcomeTest, AFullDiskThatTheJobDoesNotMind) {
  Job job = shell("head -c 4M /dev/zero > /tmp/file 2>/dev/null || true");
  job.limits.disk_bytes = 1 << 20;
  EXPECT_TRUE(run(job).outcome.succeeded());
}

TEST_F(OutcomeTest, SetupFailedForAProgramThatIsNotThere) {
  for (const char* name : {"no-such-program", "/usr/bin/no-such-program", "./no-such-program"}) {
    const Outcome outcome = run(command({name})).outcome;
    EXPECT_EQ(outcome.kind, Kind::setup_failed) << words(outcome);
    EXPECT_EQ(outcome.code, ENOENT);
    EXPECT_EQ(outcome.step, std::string("execve ") + name);
  }
}

TEST_F(OutcomeTest, SetupFailedForAProgramThatMayNotRun) {
  for (const char* name : {"/etc/passwd", "/tmp"}) {
    const Outcome outcome = run(command({name})).outcome;
    EXPECT_EQ(outcome.kind, Kind::setup_failed) << words(outcome);
    EXPECT_EQ(outcome.code, EACCES);
  }
  write(dir_ / "tool", "#!/bin/sh\n");
  fs::permissions(dir_ / "tool", fs::perms::all);
  Job job = command({"/tool"});
  job.mounts = {{.source = dir_ / "tool", .target = "/tool", .executable = false}};
  EXPECT_EQ(run(job).outcome.code, EACCES) << "noexec";
  job.mounts[0].executable = true;
  EXPECT_TRUE(run(job).outcome.succeeded());
}

TEST_F(OutcomeTest, SetupFailedForAWorkingDirectoryThatCantBeMade) {
  Job job = command({"/bin/true"});
  job.cwd = "/usr/no/such";
  const Outcome outcome = run(job).outcome;
  EXPECT_EQ(outcome.kind, Kind::setup_failed);
  EXPECT_EQ(outcome.code, ENOENT);
  EXPECT_EQ(outcome.step, "chdir /usr/no/such");
}

TEST_F(OutcomeTest, AMissingSourceIsNotRun) {
  Job job = command({"/bin/true"});
  job.mounts = {{.source = dir_ / "none", .target = "/data"}};
  const auto result = engine_->run(job);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  EXPECT_NE(result.error().what.find(dir_ / "none"), std::string::npos);

  std::optional<Outcome> outcome;
  Hears hears;
  hears.on_finished = [&](JobResult ended) { outcome = ended.outcome; };
  ASSERT_TRUE(engine_->submit(job, hears));
  ASSERT_TRUE(engine_->run_until_idle());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Kind::setup_failed);
  EXPECT_EQ(outcome->code, ENOENT);

  fs::create_directory(dir_ / "none");
  EXPECT_TRUE(run(job).outcome.succeeded()) << "it is there now";
}

TEST_F(OutcomeTest, AMissingLowerDirectoryIsNotRun) {
  Job job = command({"/bin/true"});
  job.mounts = {{.kind = Mount::Kind::overlay, .target = "/data", .lower = {dir_ / "none"}}};
  const auto result = engine_->run(job);
  if (result) {
    EXPECT_EQ(result->outcome.kind, Kind::setup_failed) << words(result->outcome);
    EXPECT_EQ(result->outcome.code, ENOENT);
  } else {
    EXPECT_NE(result.error().what.find(dir_ / "none"), std::string::npos) << result.error().what;
  }
}

TEST_F(OutcomeTest, CancelledFromAListener) {
  Hears hears;
  hears.on_output = [this](Stream, std::string_view) { engine_->cancel_all(); };
  EXPECT_EQ(run(shell("echo begun; sleep 60 & sleep 60"), &hears).outcome.kind, Kind::cancelled);
}

TEST_F(OutcomeTest, CancelledBeforeItsTurn) {
  make_engine({.slots = 1});
  std::vector<Kind> kinds;
  Hears hears;
  hears.on_output = [this](Stream, std::string_view) { engine_->cancel_all(); };
  hears.on_finished = [&](JobResult result) { kinds.push_back(result.outcome.kind); };
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(engine_->submit(shell("echo begun; sleep 60"), hears));
  ASSERT_TRUE(engine_->run_until_idle());
  EXPECT_EQ(kinds, std::vector<Kind>(5, Kind::cancelled));
}

TEST_F(OutcomeTest, LostWhenInitIsKilledFromOutside) {
  Hears hears;
  hears.on_output = [](Stream, std::string_view) {
    const pid_t init = init_pid();
    ASSERT_GT(init, 0);
    ::kill(init, SIGKILL);
  };
  const JobResult result = run(shell("echo begun; sleep 60"), &hears);
  EXPECT_EQ(result.outcome.kind, Kind::lost) << words(result.outcome);
  EXPECT_NE(result.outcome.detail.find("signal 9"), std::string::npos) << result.outcome.detail;
}

TEST_F(OutcomeTest, ResourcesArePlausible) {
  const JobResult result = run(python("x = b'x' * (40 << 20)\nsum(range(3_000_000))\nimport time\ntime.sleep(0.1)"));
  ASSERT_TRUE(result.outcome.succeeded()) << result.output.err;
  const Resources& used = result.resources;
  EXPECT_GE(used.wall, milliseconds(100));
  EXPECT_LT(used.wall, std::chrono::seconds(60));
  EXPECT_GT((used.user_cpu + used.system_cpu).count(), 10'000);
  ASSERT_TRUE(used.peak_memory_bytes);
  EXPECT_GT(*used.peak_memory_bytes, 40u << 20);
  EXPECT_LT(*used.peak_memory_bytes, 512u << 20);
  EXPECT_GT(used.minor_faults, 1000u);
  if (used.peak_pids) {
    EXPECT_LE(*used.peak_pids, 4u);
  }
}

TEST_F(OutcomeTest, WallBeginsWithTheJobAlsoInACellMadeAhead) {
  make_engine({.slots = 1});
  std::vector<JobResult> results;
  Hears hears;
  hears.on_finished = [&](JobResult result) { results.push_back(std::move(result)); };
  Job job = shell("sleep 0.2");
  job.limits.wall = std::chrono::seconds(20);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(engine_->submit(job, hears));
  ASSERT_TRUE(engine_->run_until_idle());
  ASSERT_EQ(results.size(), 5u);
  for (const JobResult& result : results) {
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome);
    EXPECT_GE(result.resources.wall, milliseconds(100)) << "the clock starts when the engine hears that the job has";
  }
}

TEST_F(OutcomeTest, ACpuLimitIsHeldOrRefused) {
  Job job = shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
  job.limits.cpus = 0.5;
  const auto result = engine_->run(job);
  if (cgroups().cpu) {
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_TRUE(result->outcome.succeeded());
  } else {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::not_supported);
    EXPECT_NE(result.error().what.find("cpu"), std::string::npos);
  }
}

TEST_F(OutcomeTest, RlimitsReachTheJob) {
  Job job = shell("ulimit -n; ulimit -f; ulimit -c; head -c 8K /dev/zero > /tmp/file");
  job.limits.open_files = 64;
  job.limits.file_bytes = 4096;
  const JobResult result = run(job);
  EXPECT_EQ(result.output.out, "64\n8\n0\n");
  EXPECT_FALSE(result.outcome.succeeded());
}

}  // namespace
}  // namespace casemate
