// The same jobs on cells and on a remote engine: the same outcomes, outputs and captured files. What differs is written down in
// docs/design/remote.md ("What differs from a cell, and why"), and here.
#include <csignal>
#include <cstdlib>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "../executors/conformance.h"
#include "casd.h"
#include "casemate/engine.h"
#include "remote/executor.h"
#include "sys/fd.h"

namespace casemate {
namespace {

class RemoteConformance : public testing::Test {
 protected:
  void SetUp() override {
    if (Casd::programs().empty()) GTEST_SKIP() << "CASEMATE_CASD names no buildbox-casd";
    if (small_root_tar().empty()) GTEST_SKIP() << "busybox-static is not installed";
    ::signal(SIGPIPE, SIG_IGN);
    ::setenv("CASEMATE_CACHE_DIR", cache_.path().c_str(), 1);
    casd_ = std::make_unique<Casd>(2, true);
    ASSERT_TRUE(casd_->listening()) << casd_->log();
    auto engine = Engine::create({.slots = 2});
    ASSERT_TRUE(engine) << engine.error().what;
    engine_ = std::move(*engine);
    const auto added = engine_->add_executor("remote", [&](Reactor& reactor) {
      return make_remote_executor(reactor, {.endpoint = casd_->endpoint(), .witness = CASEMATE_BINARY_DIR "/bin/casemate-witness"});
    });
    ASSERT_TRUE(added) << added.error().what;
  }
  [[nodiscard]] static Job base(const std::string& executor) {
    Job job;
    job.executor = executor;
    job.image = "small";
    job.root = {small_root()};
    job.env = {{"PATH", "/bin"}, {"HOME", "/root"}};
    job.limits.memory_bytes = 64u << 20;
    job.limits.pids = 32;
    job.limits.disk_bytes = 64u << 20;
    return job;
  }
  std::string run_on(const std::string& executor, const Case& each) {
    Job job = base(executor);
    each.make(job);
    const Scratch out;
    if (job.collect_to == "yes") job.collect_to = out.path();
    const auto result = engine_->run(std::move(job));
    if (!result) return "error: " + result.error().what;
    return summary(*result) + tree(out.path());
  }
  // `differing`: the names of cases, and what has to be in what is said of them instead.
  void same(const std::vector<Case>& cases, const std::map<std::string, std::string>& differing = {}) {
    for (const Case& each : cases) {
      SCOPED_TRACE(each.name);
      const auto differs = differing.find(each.name);
      const std::string remote = run_on("remote", each);
      if (differs == differing.end()) {
        EXPECT_EQ(run_on("", each), remote);
      } else {
        EXPECT_NE(remote.find(differs->second), std::string::npos) << remote;
      }
    }
  }

  Scratch cache_;
  std::unique_ptr<Casd> casd_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(RemoteConformance, outcomes_and_outputs) {
  same(outcome_cases(), {{"too many processes", "outcome: too many processes 137 step:  detail: limit 32, and the job was ended for it"},
                         {"user", "outcome: setup failed 1 step: become user 1234:1235"},
                         {"host name", "out: 9 buildbox"},
                         {"read-only root", "error: the root of an action can't be made read-only"},
                         {"tmpfs", "out: 2 0"}});
}

TEST_F(RemoteConformance, captured_files) {
  const GivenFiles given;
  same(captured_cases(given));
}

TEST_F(RemoteConformance, the_whole_root) { same(whole_root_cases()); }

TEST_F(RemoteConformance, the_disk_limit) {
  for (const char* line : {"dd if=/dev/zero of=/tmp/big bs=1000000 count=40 2>/dev/null || exit 7; sleep 20",
                           "for i in 1 2 3; do dd if=/dev/zero of=/root/$i bs=1000000 count=10 2>/dev/null; done; for i in 1 2 3; do dd "
                           "if=/dev/zero of=/tmp/$i bs=1000000 count=10 2>/dev/null; done"}) {
    SCOPED_TRACE(line);
    Job job = base("remote");
    job.limits.disk_bytes = 16u << 20;
    shell(job, line);
    const auto result = engine_->run(std::move(job));
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(word(result->outcome.kind), "disk limit") << words(result->outcome);
    EXPECT_LT(result->resources.wall, std::chrono::seconds(15));
  }
}

/// Keeps what a job reports and writes.
struct Ears : JobListener {
  std::string said, out, err;
  void report(std::string_view bytes) override { said += bytes; }
  void output(Stream stream, std::string_view bytes) override { (stream == Stream::out ? out : err) += bytes; }
};

TEST_F(RemoteConformance, what_a_job_reports) {
  Job job = base("remote");
  job.report = true;
  shell(job, "echo out; echo err >&2; echo begun >&3; head -c 100000 /dev/zero | tr '\\0' x >&3; printf end >&3; exit 3");
  Ears ears;
  const auto result = engine_->run(std::move(job), &ears);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "exited 3");
  EXPECT_EQ(ears.said, "begun\n" + std::string(100'000, 'x') + "end");
  EXPECT_EQ(ears.out, "out\n");
  EXPECT_EQ(ears.err, "err\n");
  EXPECT_EQ(result->output.out, "out\n");
}

TEST_F(RemoteConformance, stdin_is_passed_on_to_its_end) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) (void)write_all(pipe->write.get(), std::string(999, 'x') + "\n");
    pipe->write.reset();
  });
  Job job = base("remote");
  shell(job, "wc -c");
  job.forward_stdin = true;
  job.stdin_fd = pipe->read.get();
  const auto result = engine_->run(job);
  pipe->read.reset();  // or the writer may wait for ever
  writer.join();
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "exited 0");
  EXPECT_EQ(result->output.out, "2000000\n");
}

TEST_F(RemoteConformance, a_slow_reader_loses_nothing) {
  Job job = base("remote");
  shell(job, "echo begin; head -c 3000000 /dev/zero; exit 3");
  SlowReader slow(std::chrono::seconds(2));
  const auto result = engine_->run(std::move(job), &slow);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "exited 3");
  EXPECT_EQ(slow.heard, 3'000'006u);
  EXPECT_EQ(result->output.out_total, 3'000'006u);
}

TEST_F(RemoteConformance, the_second_time_little_is_sent) {
  Job job = base("remote");
  shell(job, "true");
  const auto first = engine_->run(job);
  ASSERT_TRUE(first && first->remote);
  EXPECT_GT(first->remote->sent_bytes, 1'000'000u);  // busybox and the witness
  shell(job, "echo");
  const auto second = engine_->run(job);
  ASSERT_TRUE(second && second->remote);
  EXPECT_LT(second->remote->sent_bytes, 10'000u);
  EXPECT_EQ(words(second->outcome), "exited 0");
}

// Whoever wrote that result: its action ended as one whose witness was killed.
TEST_F(RemoteConformance, a_job_that_kills_its_witness_is_lost) {
  Job job = base("remote");
  shell(job, "kill -9 $PPID; sleep 1");
  const auto result = engine_->run(job);
  ASSERT_TRUE(result);
  EXPECT_EQ(word(result->outcome.kind), "lost") << words(result->outcome);
}

TEST_F(RemoteConformance, a_cancelled_job_ends_soon) {
  Job job = base("remote");
  shell(job, "sleep 100");
  struct Leaver : JobListener {
    void finished(JobResult of) override { result = std::move(of); }
    std::optional<JobResult> result;
  } leaver;
  ASSERT_TRUE(engine_->submit(job, leaver));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(engine_->turn(std::chrono::milliseconds(50)));
  engine_->cancel(leaver);
  for (int i = 0; i < 400 && !leaver.result; ++i) ASSERT_TRUE(engine_->turn(std::chrono::milliseconds(50)));
  ASSERT_TRUE(leaver.result);
  EXPECT_EQ(word(leaver.result->outcome.kind), "cancelled");
}

}  // namespace
}  // namespace casemate
