// Inputs that an engine loses while their actions run: they are asked for and sent again, and not for ever.
#include <atomic>
#include <cstdlib>

#include <gtest/gtest.h>

#include "../executors/conformance.h"
#include "casemate/engine.h"
#include "hostile_engine.h"
#include "remote/executor.h"

namespace casemate {
namespace {

using grpc::Status;
using grpc::StatusCode;

class Evicted : public testing::Test {
 protected:
  void SetUp() override { ::setenv("CASEMATE_CACHE_DIR", cache_.path().c_str(), 1); }

  // What an engine answers that has run the action, and of whose witness nothing is to be had.
  static HostileEngine::Answer without_word() {
    HostileEngine::Answer answer;
    answer.mutable_result()->set_exit_code(1);
    return answer;
  }

  JobResult run(const HostileEngine& server) {
    const auto engine = Engine::create({.slots = 1});
    EXPECT_TRUE(engine);
    const auto added = (*engine)->add_executor("remote", [&](Reactor& reactor) {
      return make_remote_executor(reactor, {.endpoint = server.endpoint(), .witness = CASEMATE_BINARY_DIR "/bin/casemate-witness"});
    });
    EXPECT_TRUE(added) << added.error().what;
    Job job;
    job.argv = {"/bin/true"};
    job.executor = "remote";
    const auto result = (*engine)->run(job);
    EXPECT_TRUE(result) << result.error().what;
    return result ? *result : JobResult();
  }

  Scratch cache_;
};

TEST_F(Evicted, all_of_the_action_is_sent_again) {
  HostileEngine server;
  std::size_t at_first = 0;
  std::atomic<std::size_t> at_last = 0;
  // INTERNAL is asked for once more by itself (buildbox says so of missing inputs).
  server.execute = [&](int number, grpc::ServerContext&, HostileEngine::Operations& out) {
    if (number == 1) at_first = server.forget();
    if (number <= 2) return Status(StatusCode::INTERNAL, "failed to stage: blob not found in local cache");
    at_last = server.forget();
    out.Write(HostileEngine::done("operation", without_word()));
    return Status::OK;
  };
  const JobResult result = run(server);
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::lost);
  EXPECT_GT(at_first, 3u);
  EXPECT_EQ(at_last, at_first);
}

TEST_F(Evicted, an_engine_that_always_loses_them_is_not_asked_for_ever) {
  HostileEngine server;
  server.execute = [&](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    server.forget();
    out.Write(HostileEngine::done("operation", without_word()));
    return Status::OK;
  };
  const JobResult result = run(server);
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::lost);
  EXPECT_NE(result.outcome.detail.find("without its witness's word"), std::string::npos) << result.outcome.detail;
  EXPECT_EQ(server.calls("Execute"), 3);
}

TEST_F(Evicted, an_action_that_ends_without_a_word_is_not_run_again_while_its_inputs_are_there) {
  HostileEngine server;
  server.execute = [&](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    out.Write(HostileEngine::done("operation", without_word()));
    return Status::OK;
  };
  EXPECT_EQ(run(server).outcome.kind, Outcome::Kind::lost);
  EXPECT_EQ(server.calls("Execute"), 1);
}

}  // namespace
}  // namespace casemate
