// What was sent and what an engine's worker makes of it.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include <gtest/gtest.h>

#include "../executors/conformance.h"
#include "casd.h"
#include "casemate/engine.h"
#include "remote/executor.h"

namespace casemate {
namespace {

class RemoteInputs : public testing::Test {
 protected:
  void SetUp() override {
    if (Casd::programs().empty()) GTEST_SKIP() << "CASEMATE_CASD names no buildbox-casd";
    if (small_root_tar().empty()) GTEST_SKIP() << "busybox-static is not installed";
    ::signal(SIGPIPE, SIG_IGN);
    ::setenv("CASEMATE_CACHE_DIR", cache_.path().c_str(), 1);
  }
  Result<JobResult> run(const Casd& casd, Job job) {
    TRY_ASSIGN(const auto engine, Engine::create({.slots = 1}));
    job.executor = "remote";
    TRY(engine->add_executor("remote", [&](Reactor& reactor) {
      return make_remote_executor(reactor, {.endpoint = casd.endpoint(), .witness = CASEMATE_BINARY_DIR "/bin/casemate-witness"});
    }));
    return engine->run(std::move(job));
  }
  Scratch cache_;
};

// The engine lays its worker's /bin over the image's, and says so to nobody.
TEST_F(RemoteInputs, an_image_that_a_worker_hides_is_not_run) {
  const Casd casd(1, false);
  ASSERT_TRUE(casd.listening()) << casd.log();
  const Scratch layer;  // the rest of the image is as on this host
  fs::create_directory(layer.path() / "bin");
  std::ofstream(layer.path() / "bin/own") << "own";
  Job job;
  job.image = "small";
  job.root = {layer.path(), small_root()};
  job.env = {{"PATH", "/bin"}};
  shell(job, "echo ran");
  const auto result = run(casd, job);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(result->outcome.kind, Outcome::Kind::setup_failed) << words(result->outcome);
  EXPECT_EQ(result->outcome.step, "compare what was sent with what is there");
  EXPECT_TRUE(result->outcome.detail.starts_with("/bin/own is not what was sent")) << words(result->outcome);
  EXPECT_EQ(result->output.out, "");
}

TEST_F(RemoteInputs, what_a_worker_hides_of_a_project_is_told_too) {
  const Casd casd(1, false);
  ASSERT_TRUE(casd.listening()) << casd.log();
  const GivenFiles given;
  Job job;
  job.env = {{"PATH", "/usr/bin:/bin"}};
  shell(job, "ls");
  job.mounts = {overlay("/usr/share/misc", {given.path()})};
  const auto result = run(casd, job);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_TRUE(words(result->outcome).find("take another place") != std::string::npos) << words(result->outcome);
  job.mounts = {overlay("/app", {given.path()})};
  const auto elsewhere = run(casd, job);
  ASSERT_TRUE(elsewhere) << elsewhere.error().what;
  EXPECT_EQ(words(elsewhere->outcome), "exited 0");
}

}  // namespace
}  // namespace casemate
