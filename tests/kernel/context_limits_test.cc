// Hostile commands in contexts, and their limits: what one command does is its own outcome, and the next one runs.
#include "context_scratch.h"
#include "engine/gateway.h"

namespace casemate {
namespace {

TEST_F(ContextTest, ACommandThatKillsAllEndsItselfAndTheServices) {
  const auto context = open();
  ASSERT_TRUE(context);
  run(*context, sh("setsid sleep 1001 & sleep 0.05"));
  const JobResult result = run(*context, py(R"(
import os, signal
for number in (9, 19, 15, 2, 1, 18):
    for target in (1, -1, 0):
        if target != 1: signal.pthread_sigmask(signal.SIG_BLOCK, {15, 2, 1})
        if (target, number) in ((-1, 9), (0, 9), (0, 19), (-1, 19)): continue
        try: os.kill(target, number)
        except OSError: pass
try: os.kill(-1, 9)
except OSError: pass
os.kill(os.getpid(), 9)
)"));
  EXPECT_EQ(words(result.outcome), "signaled 9 (SIGKILL)") << result.output.err;
  EXPECT_TRUE(context->alive());
  EXPECT_EQ(output(*context, sh("while cat /proc/[0-9]*/comm | grep -q sleep; do :; done; echo none")), "none\n");
}

TEST_F(ContextTest, NoDescriptorOfInitsReachesACommand) {
  const auto context = open();
  ASSERT_TRUE(context);
  const std::string script = "import os; print(sorted(os.listdir('/proc/self/fd'))); print(os.path.exists('/proc/1/fd/0'))";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(output(*context, py(script)), "['0', '1', '2', '3']\nFalse\n") << "3 is the directory itself";
  EXPECT_EQ(run(*context, typed(py(script), "")).output.out, "['0', '1', '2', '3']\r\nFalse\r\n");
  const JobResult peeks =
      run(*context, sh("cat /proc/1/environ /proc/1/mem /proc/1/maps; ls /proc/1/fd; head -c 1 /proc/1/exe; echo x > /proc/1/fd/3"));
  EXPECT_EQ(peeks.output.out, "") << "nothing of init can be seen";
  EXPECT_EQ(output(*context, sh("echo on")), "on\n");
}

TEST_F(ContextTest, ForksThatDontStopAreEndedWithTheirSession) {
  const auto context = open();
  ASSERT_TRUE(context);
  // Each process lives for a moment and leaves another one behind.
  ContextCommand comet = py(R"(
import os
if os.fork() > 0:
    while True: pass
while True:
    if os.fork() > 0: os._exit(0)
)");
  comet.wall = milliseconds(300);
  EXPECT_EQ(word(run(*context, std::move(comet)).outcome.kind), "timed out");
  EXPECT_EQ(output(*context, sh("while cat /proc/[0-9]*/comm | grep -q python; do :; done; echo none")), "none\n");
}

TEST_F(ContextTest, AForkBombHitsItsLimitAndTheNextCommandWorks) {
  Job job = base_job();
  job.limits.pids = 30;
  const auto context = open(job);
  ASSERT_TRUE(context);
  ContextCommand bomb = py(R"(
import os, time
while True:
    try:
        if os.fork() == 0: time.sleep(1000)
    except OSError:
        break
while True:
    try:
        os.fork()
    except OSError:
        pass
)");
  bomb.wall = milliseconds(500);
  EXPECT_EQ(word(run(*context, std::move(bomb)).outcome.kind), "timed out");
  ContextCommand fails = py("import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(1000)\n");
  const JobResult result = run(*context, std::move(fails));
  const bool counted = open_cgroups()->support().pids;
  EXPECT_EQ(word(result.outcome.kind), counted ? "too many processes" : "exited") << words(result.outcome);
  EXPECT_EQ(result.leftovers.size(), 16u) << "what it left are services, so many are named";
  // These take all the places there are.
  const JobResult none = run(*context, sh("/bin/true && /bin/true"));
  EXPECT_FALSE(none.outcome.succeeded()) << words(none.outcome);
}

TEST_F(ContextTest, TheBombsOwnSessionIsGoneWhenItIsCancelled) {
  Job job = base_job();
  job.limits.pids = 30;
  const auto context = open(job);
  ASSERT_TRUE(context);
  ContextCommand bomb = sh("bomb() { bomb | bomb & }; bomb; sleep 1000");
  bomb.wall = milliseconds(500);
  const JobResult result = run(*context, std::move(bomb));
  EXPECT_FALSE(result.outcome.succeeded());
  EXPECT_TRUE(context->alive()) << words(result.outcome) << result.outcome.detail;
}

TEST_F(ContextTest, MemoryThatOneCommandTakesIsItsOutcome) {
  Job job = base_job();
  job.limits.memory_bytes = 64u << 20;
  const auto context = open(job);
  ASSERT_TRUE(context);
  for (int i = 0; i < 2; ++i) {
    const JobResult result = run(*context, py("x = bytearray(300 << 20)"));
    EXPECT_EQ(word(result.outcome.kind), "out of memory") << result.output.err;
    const JobResult next = run(*context, sh("echo on"));
    EXPECT_EQ(next.output.out, "on\n") << words(next.outcome);
    if (open_cgroups()->support().memory && open_cgroups()->support().version == CgroupSupport::Version::v1) {
      EXPECT_GT(result.resources.peak_memory_bytes, 32u << 20);
      EXPECT_LT(next.resources.peak_memory_bytes, 32u << 20) << "each command's own";
    }
  }
}

TEST_F(ContextTest, MemoryOfManySmallProcessesDoesNotCostTheContext) {
  Job job = base_job();
  job.limits.memory_bytes = 96u << 20;
  const auto context = open(job);
  ASSERT_TRUE(context);
  // None of them is as large as an engine.
  ContextCommand many = py(R"(
import os, time
for i in range(60):
    if os.fork() == 0:
        x = bytearray(b"x") * (4 << 20)
        time.sleep(2)
        os._exit(0)
raise SystemExit(any(os.wait()[1] for i in range(60)))
)");
  many.wall = milliseconds(20'000);
  const JobResult result = run(*context, std::move(many));
  EXPECT_FALSE(result.outcome.succeeded());
  EXPECT_TRUE(context->alive()) << words(result.outcome);
  EXPECT_EQ(run(*context, sh("echo on")).output.out, "on\n");
}

TEST_F(ContextTest, CpuTimeIsEachCommandsOwn) {
  Job job = base_job();
  job.limits.cpu_time = milliseconds(300);
  const auto context = open(job);
  ASSERT_TRUE(context);
  for (int i = 0; i < 2; ++i) {
    const JobResult result = run(*context, sh("while :; do :; done"));
    EXPECT_EQ(word(result.outcome.kind), "timed out");
    EXPECT_EQ(result.outcome.detail, "CPU time 300 ms");
    EXPECT_EQ(output(*context, sh("echo on")), "on\n");
  }
}

TEST_F(ContextTest, AFullDiskIsTheCommandsOutcomeUntilThereIsRoom) {
  Job job = base_job();
  job.limits.disk_bytes = 1u << 20;
  const auto context = open(job);
  ASSERT_TRUE(context);
  EXPECT_EQ(word(run(*context, sh("head -c 4000000 /dev/zero > /root/big")).outcome.kind), "disk limit");
  EXPECT_EQ(output(*context, sh("rm /root/big; echo x > /root/small; cat /root/small")), "x\n");
  EXPECT_EQ(words(run(*context, sh("exit 4")).outcome), "exited 4");
}

TEST_F(ContextTest, AFloodOfOutputEndsTheCommandAtItsLimit) {
  const auto context = open();
  ASSERT_TRUE(context);
  ContextCommand flood = sh("sleep 1000 & yes");
  flood.output_bytes = 1u << 20;
  const JobResult result = run(*context, std::move(flood));
  EXPECT_EQ(word(result.outcome.kind), "output limit");
  EXPECT_EQ(result.output.out.size(), 1u << 20);
  ContextCommand kept = sh("yes | head -c 5000000");
  kept.capture_bytes = 1000;
  const JobResult large = run(*context, std::move(kept));
  EXPECT_TRUE(large.outcome.succeeded());
  EXPECT_EQ(large.output.out_total, 5'000'000u);
  EXPECT_TRUE(large.output.truncated);
  EXPECT_EQ(output(*context, sh("while cat /proc/[0-9]*/comm | grep -q -e yes -e sleep; do :; done; echo none")), "none\n");
}

TEST_F(ContextTest, ASlowReaderHoldsTheCommandUp) {
  const auto context = open();
  ASSERT_TRUE(context);
  struct Slow final : JobListener {
    void output(Stream, std::string_view bytes) override {
      held += bytes.size();
      most = std::max(most, held);
    }
    std::size_t backlog() override {
      if (++asked % 4 == 0) held = 0;
      return held;
    }
    std::size_t held = 0;
    std::size_t most = 0;
    int asked = 0;
  } slow;
  const JobResult result = run(*context, sh("head -c 20000000 /dev/zero"), &slow);
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_EQ(result.output.out_total, 20'000'000u);
  EXPECT_LT(slow.most, 2u << 20);
  struct Deaf final : JobListener {
    bool wants(Stream stream) override { return stream != Stream::out; }
  } deaf;
  EXPECT_EQ(words(run(*context, sh("yes; echo ended >&2"), &deaf).outcome), "exited 0");
  EXPECT_EQ(words(run(*context, words_of({"yes"}), &deaf).outcome), "signaled 13 (SIGPIPE)");
}

TEST_F(ContextTest, TheStrictProfileHoldsForEachCommand) {
  Job job = base_job();
  job.profile = Profile::strict;
  job.read_only = true;
  const auto context = open(job);
  ASSERT_TRUE(context);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(run(*context, typed(sh("tty; unshare -U true 2> /dev/null || echo refused"), "")).output.out, "/dev/pts/0\r\nrefused\r\n");
    EXPECT_EQ(output(*context, sh("grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status | tr -d '\\n\\t'; ulimit -n")),
              "CapEff:0000000000000000NoNewPrivs:1Seccomp:21024\n");
  }
  ContextCommand slow = sh("sleep 1001 & sleep 1002");
  slow.wall = milliseconds(100);
  EXPECT_EQ(word(run(*context, std::move(slow)).outcome.kind), "timed out");
}

TEST_F(ContextTest, ANetworkBehindAGatewayIsThereForAllCommands) {
  if (const auto available = Gateway::available(); !available) GTEST_SKIP() << available.error().what;
  Job job = base_job();
  job.network = Network::outbound;
  const auto context = open(job);
  ASSERT_TRUE(context);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(output(*context, sh("cut -f 2 /proc/net/route | grep -c 00000000")), "1\n");
}

TEST_F(ContextTest, TooMuchInAMountIsTheCommandsOutcome) {
  fs::create_directory(dir_ / "shared");
  fs::permissions(dir_ / "shared", fs::perms::all);
  Job job = base_job();
  job.mounts = {{.source = dir_ / "shared", .target = "/shared", .writable = true, .owned = true, .bytes = 1u << 20}};
  const auto context = open(job);
  ASSERT_TRUE(context);
  const JobResult result = run(*context, sh("head -c 20000000 /dev/zero > /shared/big; sleep 20"));
  EXPECT_EQ(word(result.outcome.kind), "disk limit") << words(result.outcome);
  EXPECT_EQ(output(*context, sh("rm /shared/big; echo on")), "on\n");
}

}  // namespace
}  // namespace casemate
