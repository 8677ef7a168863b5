// What was sent and what an engine's worker makes of it.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "../executors/conformance.h"
#include "action/job_action.h"
#include "casd.h"
#include "casemate/engine.h"
#include "remote/capabilities.h"
#include "remote/executor.h"
#include "remote/protocol/remote_execution.pb.h"
#include "sys/fd.h"

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
  Result<JobResult> run(const Casd& casd, Job job, TellSending sending = {}) {
    TRY_ASSIGN(const auto engine, Engine::create({.slots = 1}));
    job.executor = "remote";
    TRY(engine->add_executor("remote", [&](Reactor& reactor) {
      return make_remote_executor(
          reactor, {.endpoint = casd.endpoint(), .sending = sending, .witness = CASEMATE_BINARY_DIR "/bin/casemate-witness"});
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

// An engine before REAPI 2.1 passes output_paths over, and later ones what was before them: buildbox-casd is one of these.
TEST_F(RemoteInputs, outputs_are_named_by_kind_for_engines_of_old) {
  const GivenFiles given;
  Job job;
  shell(job, "true");
  job.mounts = {overlay("/app", {given.path()})};
  job.collect = {"/app"};
  job.report = true;
  const auto named = [&](bool by_kind) {
    InputTrees trees;
    const auto action = job_action(job, {.outputs_by_kind = by_kind, .witness = CASEMATE_BINARY_DIR "/bin/casemate-witness"}, trees, {});
    protocol::Command command;
    EXPECT_TRUE(action && command.ParseFromString(action->command.bytes));
    std::vector<std::string> all;
    for (const auto& path : command.output_files()) all.push_back("file " + path);
    for (const auto& path : command.output_directories()) all.push_back("directory " + path);
    for (const auto& path : command.output_paths()) all.push_back(path);
    return all;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(named(false), (Names{".casemate/changes", ".casemate/reports", ".casemate/result"}));
  EXPECT_EQ(named(true), (Names{"file .casemate/reports", "file .casemate/result", "directory .casemate/changes", ".casemate/changes",
                                ".casemate/reports", ".casemate/result"}));
  protocol::ServerCapabilities said;
  said.mutable_cache_capabilities()->add_digest_functions(protocol::DigestFunction::SHA256);
  said.mutable_high_api_version()->set_major(2);
  for (const int minor : {0, 1, 3}) {
    said.mutable_high_api_version()->set_minor(minor);
    const auto offer = offer_of(said, said);
    ASSERT_TRUE(offer) << offer.error().what;
    EXPECT_EQ(offer->outputs_by_kind, minor == 0);
  }
}

// Told before anything is sent: nobody looks for a job that was never begun.
TEST_F(RemoteInputs, too_much_stdin_is_a_setup_that_failed) {
  const Casd casd(1, false);
  ASSERT_TRUE(casd.listening()) << casd.log();
  const Scratch scratch;
  const std::string file = scratch.path() / "stdin";
  std::ofstream(file) << "x";
  fs::resize_file(file, (64u << 20) + 1);
  const UniqueFd input(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  Job job;
  job.env = {{"PATH", "/usr/bin:/bin"}};
  shell(job, "cat");
  job.forward_stdin = true;
  job.stdin_fd = input.get();
  const auto result = run(casd, job);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "setup failed (read stdin: stdin has more than 64.0 MiB: give it as a file with --inputs)");
  EXPECT_FALSE(result->remote);
}

// The engine's end of a pipe, as a person's: how much there is, and that it is over.
TEST_F(RemoteInputs, much_is_sent_with_words) {
  const Casd casd(1, false);
  ASSERT_TRUE(casd.listening()) << casd.log();
  const Scratch scratch;
  std::ofstream(scratch.path() / "big") << "x";
  fs::resize_file(scratch.path() / "big", 512u << 20);
  Job job;
  job.env = {{"PATH", "/usr/bin:/bin"}};
  shell(job, "ls /app");
  job.mounts = {overlay("/app", {scratch.path()})};
  job.limits.disk_bytes.reset();
  std::vector<SendingProgress> told;
  const auto result = run(casd, job, [&](const SendingProgress& progress) { told.push_back(progress); });
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(words(result->outcome), "exited 0") << casd.log();
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told.back().phase, SendingProgress::Phase::done);
  EXPECT_GE(told.back().bytes, 512u << 20);
  EXPECT_EQ(told.back().bytes_done, told.back().bytes);
  EXPECT_EQ(told.back().files_done, told.back().files);
  for (const SendingProgress& each : told) EXPECT_EQ(each.to, casd.endpoint().address);
}

}  // namespace
}  // namespace casemate
