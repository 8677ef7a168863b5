// An engine that does not answer: since when, why, and whose end that is.
#include <thread>

#include <gtest/gtest.h>

#include "action/messages.h"
#include "hostile_engine.h"
#include "remote/engine.h"
#include "remote/outage.h"

namespace casemate {
namespace {

using grpc::Status;
using grpc::StatusCode;
using std::chrono::milliseconds;

const Status kGone{
    StatusCode::UNAVAILABLE,
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused"};

struct Heard : ExecutionListener {
  std::vector<std::string> names;
  void named(const std::string& operation) override { names.push_back(operation); }
};

std::unique_ptr<RemoteEngine> connected(const HostileEngine& server, RemotePolicy policy = {}) {
  auto engine = RemoteEngine::connect(server.endpoint(), policy, {});
  EXPECT_TRUE(engine) << engine.error().what;
  return engine ? std::move(*engine) : nullptr;
}

ExecutionOrder action_within(milliseconds deadline) { return {.action = digest_of("an action"), .deadline = deadline}; }

TEST(Outage, is_known_from_the_first_failure_until_the_end_of_trying) {
  HostileEngine server;
  std::atomic<bool> gone = true;
  server.before = [&](const std::string& method, int, grpc::ServerContext&) {
    return method == "FindMissingBlobs" && gone ? kGone : Status::OK;
  };
  const auto engine = connected(server, {.patience = std::chrono::seconds(50)});
  EXPECT_FALSE(engine->outage());
  std::jthread asking([&] { EXPECT_TRUE(engine->missing(std::vector<BlobDigest>{digest_of("x")}, {})); });
  std::optional<EngineOutage> outage;
  while (!(outage = engine->outage()) || outage->tried < milliseconds(100)) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(outage->reason, "nobody listens there: Connection refused");
  EXPECT_EQ(outage->patience, std::chrono::seconds(50));
  gone = false;
  asking.join();
  EXPECT_FALSE(engine->outage());
}

// Each of several: what is drawn between tries is long at times.
TEST(Outage, is_given_up_at_the_end_of_the_patience_and_not_before) {
  HostileEngine server;
  server.before = [&](const std::string& method, int, grpc::ServerContext&) { return method == "FindMissingBlobs" ? kGone : Status::OK; };
  constexpr milliseconds kPatience{1500};
  const auto engine = connected(server, {.patience = kPatience});
  std::vector<std::jthread> several;
  for (int i = 0; i < 16; ++i) {
    several.emplace_back([&] {
      const auto began = std::chrono::steady_clock::now();
      EXPECT_FALSE(engine->missing(std::vector<BlobDigest>{digest_of("x")}, {}));
      EXPECT_GE(std::chrono::steady_clock::now() - began, kPatience);
    });
  }
}

TEST(Outage, has_one_line_for_a_connection_that_can_not_be_made) {
  const auto says = [](const std::string& message) { return no_connection({StatusCode::UNAVAILABLE, message}).value_or("nothing"); };
  EXPECT_EQ(says(kGone.error_message()), "nobody listens there: Connection refused");
  EXPECT_EQ(says("failed to connect to all addresses; last error: UNKNOWN: unix:/x: No such file or directory"),
            "nobody listens there: No such file or directory");
  EXPECT_EQ(
      says("failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:1: Failed to connect to remote host: No route to host"),
      "no connection can be made: No route to host");
  EXPECT_EQ(says("DNS resolution failed for x:1: C-ares status is not ARES_SUCCESS qtype=A name=x is_balancer=0: Domain name not found"),
            "its name can't be resolved: Domain name not found");
  EXPECT_EQ(says("Socket closed"), "nothing");
  EXPECT_EQ(no_connection({StatusCode::INTERNAL, "failed to connect to all addresses"}), std::nullopt);
}

TEST(Outage, that_outlasts_a_deadline_is_the_engines_end) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext&, HostileEngine::Operations&) { return kGone; };
  const auto engine = connected(server);
  Heard heard;
  const auto execution = engine->execute(action_within(milliseconds(700)), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().where, kRemoteUnusable) << execution.error().what;
  EXPECT_NE(execution.error().what.find("nobody listens there"), std::string::npos) << execution.error().what;
}

// Its operation runs there, and then nobody is there to be told that it is over.
TEST(Outage, in_the_middle_of_an_operation_is_the_engines_end_too) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext& context, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("operation"));
    HostileEngine::hang(context);
    return Status::OK;
  };
  server.before = [](const std::string& method, int, grpc::ServerContext&) {
    return method.starts_with("CancelOperation") ? kGone : Status::OK;
  };
  const auto engine = connected(server);
  Heard heard;
  const auto execution = engine->execute(action_within(milliseconds(500)), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().where, kRemoteUnusable) << execution.error().what;
  EXPECT_EQ(heard.names, std::vector<std::string>{"operation"});
}

TEST(Outage, is_none_where_an_action_takes_too_long) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext& context, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("operation"));
    HostileEngine::hang(context);
    return Status::OK;
  };
  const auto engine = connected(server);
  Heard heard;
  const auto execution = engine->execute(action_within(milliseconds(500)), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().where, "") << execution.error().what;
  EXPECT_EQ(server.calls("CancelOperation operation"), 1);
}

TEST(Outage, is_none_where_the_instance_is_another) {
  HostileEngine server;
  for (const StatusCode code : {StatusCode::INVALID_ARGUMENT, StatusCode::NOT_FOUND}) {
    server.before = [code](const std::string& method, int, grpc::ServerContext&) {
      return method == "FindMissingBlobs" ? Status(code, "Instance name [] not recognised") : Status::OK;
    };
    const auto missing = connected(server)->missing(std::vector<BlobDigest>{digest_of("x")}, {});
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().what.find("--remote-instance"), std::string::npos) << missing.error().what;
    EXPECT_EQ(missing.error().where, kRemoteUnusable);
  }
}

}  // namespace
}  // namespace casemate
