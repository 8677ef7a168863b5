// The same jobs on cells, dockerd and podman: the same outcomes, outputs and captured files. What differs is written down in
// docs/design/docker.md, and here.
#include <algorithm>
#include <csignal>
#include <thread>

#include <fmt/format.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "casemate/engine.h"
#include "daemon_scratch.h"
#include "docker/docker_executor.h"
#include "sys/path.h"

namespace casemate {
namespace {

class Conformance : public EachDaemon {
 protected:
  void SetUp() override {
    EachDaemon::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ::signal(SIGPIPE, SIG_IGN);
    cache_ = std::make_unique<Scratch>();
    ::setenv("CASEMATE_CACHE_DIR", cache_->path().c_str(), 1);
    auto engine = Engine::create({.slots = 4});
    ASSERT_TRUE(engine) << engine.error().what;
    engine_ = std::move(*engine);
    const auto added =
        engine_->add_executor("docker", [&](Reactor& reactor) { return make_docker_executor(reactor, docker_options(*daemon_)); });
    ASSERT_TRUE(added) << added.error().what;
  }
  void TearDown() override {
    engine_.reset();
    if (!daemon_ || !api_) return;
    // Nothing that is labelled is left.
    const auto left = ask("GET", "/containers/json?" + docker_query({{"all", "1"}, {"filters", R"({"label":["casemate.engine"]})"}}));
    if (left) EXPECT_EQ(nlohmann::json::parse(left->body, nullptr, false).size(), 0u) << left->body;
  }
  [[nodiscard]] Job base(const std::string& executor) const {
    Job job;
    job.executor = executor;
    job.image = kSmallImage;
    if (executor.empty()) job.root = {small_root()};
    job.env = {{"PATH", "/bin"}, {"HOME", "/root"}};
    job.limits.memory_bytes = 64u << 20;
    job.limits.pids = 32;
    job.limits.disk_bytes = 64u << 20;
    return job;
  }
  Result<JobResult> run(Job job, JobListener* listener = nullptr) { return engine_->run(std::move(job), listener); }
  std::string run_on(const std::string& executor, const Case& each) {
    Job job = base(executor);
    each.make(job);
    const Scratch out;
    if (job.collect_to == "yes") job.collect_to = out.path();
    const auto result = run(job);
    if (!result) return "error: " + result.error().what;
    return summary(*result) + tree(out.path());
  }
  void same(const Case& each) {
    SCOPED_TRACE(each.name);
    EXPECT_EQ(run_on("", each), run_on("docker", each));
  }

  std::unique_ptr<Scratch> cache_;
  std::unique_ptr<Engine> engine_;
};
INSTANTIATE_TEST_SUITE_P(Real, Conformance, each_kind(), name_of_kind);

TEST_P(Conformance, outcomes_and_outputs) {
  for (const Case& each : outcome_cases()) same(each);
}

TEST_P(Conformance, captured_files) {
  const GivenFiles given;
  for (const Case& each : captured_cases(given)) same(each);
}

TEST_P(Conformance, the_whole_root) {
  for (const Case& each : whole_root_cases()) same(each);
}

// A cell's layer is full and its job told so; a container's is looked at, and its job ended.
TEST_P(Conformance, the_disk_limit) {
  for (const std::string executor : {"", "docker"}) {
    SCOPED_TRACE(executor);
    Job job = base(executor);
    job.limits.disk_bytes = 16u << 20;
    shell(job, "dd if=/dev/zero of=/tmp/big bs=1000000 count=40 2>/dev/null || exit 7; sleep 20");
    const auto result = run(std::move(job));
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(word(result->outcome.kind), "disk limit") << words(result->outcome);
    EXPECT_LT(result->resources.wall, std::chrono::seconds(15));
  }
}

// Also of a job that is over before anybody looks.
TEST_P(Conformance, the_disk_limit_at_the_end) {
  Job job = base("docker");
  job.limits.disk_bytes = 16u << 20;
  shell(job, "dd if=/dev/zero of=/tmp/big bs=1000000 count=20 2>/dev/null");
  const auto result = run(std::move(job));
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(word(result->outcome.kind), "disk limit") << words(result->outcome);
}

TEST_P(Conformance, an_overlay_below_a_read_only_root) {
  const Scratch given;
  std::ofstream(given.path() / "changed") << "before";
  std::ofstream(given.path() / "gone") << "gone";
  const auto make = [&](Job& job) {
    shell(job, "touch /bin/x 2>/dev/null || echo refused; echo after > changed; rm gone; echo new > new; mkdir d; echo x > d/x");
    job.cwd = "/app";
    job.read_only = true;
    job.limits.disk_bytes.reset();
    job.mounts = {overlay("/app", {given.path()})};
    job.collect = {"/app"};
    job.collect_to = "yes";
  };
  if (!is_podman()) {
    same({"without a disk limit", make});
  } else {  // it would give other names
    const std::string said = run_on("docker", {"without a disk limit", make});
    EXPECT_NE(said.find("can't be had back from podman"), std::string::npos) << said;
  }
  Job limited = base("docker");
  make(limited);
  limited.collect.clear();
  limited.collect_to.clear();
  limited.limits.disk_bytes = 1u << 20;
  const auto refused = run(std::move(limited));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().what.find("disk limit on /app below a read-only root"), std::string::npos) << refused.error().what;
}

TEST_P(Conformance, a_slow_reader_loses_nothing) {
  Job job = base("docker");
  shell(job, "echo begin; sleep 1; head -c 200000 /dev/zero; exit 3");
  SlowReader slow(std::chrono::seconds(8));
  const auto result = run(std::move(job), &slow);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "exited 3");
  EXPECT_EQ(slow.heard, 200'006u);
  EXPECT_EQ(result->output.out_total, 200'006u);
}

/// Keeps what a job reports.
struct Heard : JobListener {
  std::string said;
  void report(std::string_view bytes) override { said += bytes; }
};

TEST_P(Conformance, what_a_job_reports) {
  for (const std::string executor : {"", "docker"}) {
    SCOPED_TRACE(executor);
    Job job = base(executor);
    job.report = true;
    // Long lines and short ones, one that does not end, beside output and after who wrote it first.
    shell(job,
          "echo out; echo err >&2; echo begun >&3; head -c 100000 /dev/zero | tr '\\0' x >&3; echo >&3; (sleep 0.3; echo late >&3) & "
          "i=0; while [ $i -lt 300 ]; do echo $i >&3; echo e$i >&2; i=$((i+1)); done; wait; printf end >&3; exit 3");
    Heard heard;
    const auto result = engine_->run(std::move(job), &heard);
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(words(result->outcome), "exited 3");
    EXPECT_EQ(result->output.out, "out\n");
    std::string errors = "err\n";
    std::string wanted = "begun\n" + std::string(100'000, 'x') + "\n";
    for (int i = 0; i < 300; ++i) {
      errors += fmt::format("e{}\n", i);
      wanted += fmt::format("{}\n", i);
    }
    EXPECT_EQ(result->output.err, errors);
    const auto late = heard.said.find("late\n");
    ASSERT_NE(late, std::string::npos);
    EXPECT_EQ(heard.said.erase(late, 5), wanted + "end");
  }
}

TEST_P(Conformance, stdin_is_passed_on_to_its_end) {
  for (const std::string executor : {"", "docker"}) {
    auto pipe = make_pipe();
    ASSERT_TRUE(pipe);
    std::thread writer([&] {
      for (int i = 0; i < 2000; ++i) (void)write_all(pipe->write.get(), std::string(999, 'x') + "\n");
      pipe->write.reset();
    });
    Job job = base(executor);
    shell(job, "wc -c");
    job.forward_stdin = true;
    job.stdin_fd = pipe->read.get();
    const auto result = run(job);
    pipe->read.reset();  // or the writer may wait for ever
    writer.join();
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(words(result->outcome), "exited 0");
    EXPECT_EQ(result->output.out, "2000000\n") << executor;
  }
}

}  // namespace
}  // namespace casemate
