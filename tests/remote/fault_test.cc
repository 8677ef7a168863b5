// What engines must not do and networks do: nothing is believed, nothing is lost, and nothing is told twice.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "action/messages.h"
#include "hostile_engine.h"
#include "remote/engine.h"
#include "remote/protocol/remote_execution.pb.h"

namespace casemate {
namespace {

namespace v2 = build::bazel::remote::execution::v2;
using grpc::Status;
using grpc::StatusCode;
using std::chrono::milliseconds;
constexpr std::size_t kNever = SIZE_MAX;

std::string noise(std::size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

struct Heard : ExecutionListener {
  std::atomic<int> queues = 0, executions = 0;
  std::string out;
  void queued() override { ++queues; }
  void executing() override { ++executions; }
  void output(Stream, std::string_view bytes) override { out += bytes; }
};

// Short patience for what never gets better; calls long enough for a machine that has other work.
const RemotePolicy kShort{.call = milliseconds(2000), .silence = milliseconds(2000), .patience = milliseconds(1000)};

std::unique_ptr<RemoteEngine> connected(const HostileEngine& server, RemotePolicy policy = {}) {
  auto engine = RemoteEngine::connect(server.endpoint(), policy, {});
  EXPECT_TRUE(engine) << engine.error().what;
  return engine ? std::move(*engine) : nullptr;
}

Status failing(StatusCode code, const google::protobuf::Message& detail, const std::string& message = "no") {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  status.add_details()->PackFrom(detail);
  return {code, message, status.SerializeAsString()};
}

v2::ExecuteResponse answer_of(int exit_code) {
  v2::ExecuteResponse answer;
  answer.mutable_result()->set_exit_code(exit_code);
  return answer;
}

ExecutionOrder some_action() { return {.action = digest_of("an action"), .deadline = {}}; }

// --- Capabilities

TEST(RemoteFault, nobody_there_is_said_quickly) {
  RemoteEndpoint endpoint;
  {
    const HostileEngine server;
    endpoint = server.endpoint();
  }
  const auto engine = RemoteEngine::connect(endpoint, {.patience = milliseconds(300)}, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().where, kRemoteUnusable);
  EXPECT_NE(engine.error().what.find(endpoint.address), std::string::npos) << engine.error().what;
}

TEST(RemoteFault, an_engine_without_sha256_or_version_2_is_refused) {
  HostileEngine server;
  const auto good = server.capabilities;
  const auto why = [&] {
    const auto engine = RemoteEngine::connect(server.endpoint(), kShort, {});
    if (engine) return std::string("none");
    EXPECT_EQ(engine.error().where, kRemoteUnusable);
    return engine.error().what;
  };
  server.capabilities.mutable_cache_capabilities()->set_digest_functions(0, v2::DigestFunction::BLAKE3);
  EXPECT_NE(why().find("does not take SHA-256"), std::string::npos) << why();
  server.capabilities = good;
  server.capabilities.mutable_execution_capabilities()->set_digest_function(v2::DigestFunction::SHA1);
  EXPECT_NE(why().find("does not execute actions with SHA-256"), std::string::npos) << why();
  server.capabilities = good;
  server.capabilities.mutable_low_api_version()->set_major(3);
  EXPECT_NE(why().find("speaks 2"), std::string::npos) << why();
  server.capabilities = good;
  server.before = [](const std::string&, int, grpc::ServerContext&) { return Status(StatusCode::UNIMPLEMENTED, ""); };
  EXPECT_NE(why().find("is it a REAPI v2 engine?"), std::string::npos) << why();
}

TEST(RemoteFault, a_batch_limit_of_an_engine_is_kept) {
  HostileEngine server;
  server.capabilities.mutable_cache_capabilities()->set_max_batch_total_size_bytes(10'000);
  const auto engine = connected(server);
  EXPECT_EQ(engine->offer().most_batch, 10'000u);
  std::vector<Blob> blobs;
  for (unsigned i = 0; i < 20; ++i) blobs.push_back(blob_of(noise(3000, i)));
  blobs.push_back(blob_of(noise(6000, 99)));
  ASSERT_TRUE(engine->upload(blobs, {}));
  EXPECT_EQ(server.calls("BatchUpdateBlobs"), 7);
  EXPECT_EQ(server.calls("Write"), 1);
  for (const Blob& blob : blobs) EXPECT_EQ(server.stored(blob.digest.hash), blob.bytes);
}

TEST(RemoteFault, an_engine_that_only_caches_executes_nothing) {
  HostileEngine server;
  server.capabilities.mutable_execution_capabilities()->set_exec_enabled(false);
  const auto engine = connected(server);
  Heard heard;
  const auto execution = engine->execute(some_action(), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().where, kRemoteUnusable);
  EXPECT_EQ(engine->tell_result(digest_of("x"), {}, {}).error().code, ErrorCode::refused);
}

// --- single calls

TEST(RemoteFault, what_is_transient_is_tried_again) {
  for (const StatusCode code : {StatusCode::UNAVAILABLE, StatusCode::ABORTED, StatusCode::RESOURCE_EXHAUSTED, StatusCode::INTERNAL}) {
    HostileEngine server;
    server.before = [code](const std::string& method, int number, grpc::ServerContext&) {
      return method == "FindMissingBlobs" && number <= 3 ? Status(code, "not now") : Status::OK;
    };
    const auto missing = connected(server)->missing(std::vector<BlobDigest>{digest_of("x")}, {});
    ASSERT_TRUE(missing) << code << missing.error().what;
    EXPECT_EQ(missing->size(), 1u);
    EXPECT_EQ(server.calls("FindMissingBlobs"), 4);
  }
}

TEST(RemoteFault, what_is_not_transient_is_not) {
  struct {
    StatusCode code;
    ErrorCode is;
    std::string_view where, says;
  } const cases[] = {
      {StatusCode::UNAUTHENTICATED, ErrorCode::refused, kRemoteUnusable, "not expired?"},
      {StatusCode::PERMISSION_DENIED, ErrorCode::refused, kRemoteUnusable, "may not do that"},
      {StatusCode::INVALID_ARGUMENT, ErrorCode::refused, "", "takes no such request"},
      {StatusCode::UNIMPLEMENTED, ErrorCode::not_supported, kRemoteUnusable, "REAPI"},
  };
  for (const auto& [code, is, where, says] : cases) {
    HostileEngine server;
    server.before = [code](const std::string& method, int, grpc::ServerContext&) {
      return method == "FindMissingBlobs" ? Status(code, "bad \x1b[31m\nthing") : Status::OK;
    };
    const auto missing = connected(server)->missing(std::vector<BlobDigest>{digest_of("x")}, {});
    ASSERT_FALSE(missing);
    EXPECT_EQ(server.calls("FindMissingBlobs"), 1);
    EXPECT_EQ(missing.error().code, is);
    EXPECT_EQ(missing.error().where, where);
    EXPECT_NE(missing.error().what.find(says), std::string::npos) << missing.error().what;
    EXPECT_NE(missing.error().what.find("bad \\x1b[31m\\nthing"), std::string::npos) << missing.error().what;
  }
}

TEST(RemoteFault, when_an_engine_says_when_it_is_asked_then) {
  HostileEngine server;
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_nanos(700'000'000);
  std::chrono::steady_clock::time_point first, second;
  server.before = [&](const std::string& method, int number, grpc::ServerContext&) {
    if (method != "FindMissingBlobs") return Status::OK;
    (number == 1 ? first : second) = std::chrono::steady_clock::now();
    return number == 1 ? failing(StatusCode::RESOURCE_EXHAUSTED, info) : Status::OK;
  };
  ASSERT_TRUE(connected(server)->missing(std::vector<BlobDigest>{digest_of("x")}, {}));
  EXPECT_GE(second - first, milliseconds(700));
  // Longer than anybody waits: an error at once.
  info.mutable_retry_delay()->set_seconds(3600);
  server.before = [&](const std::string& method, int, grpc::ServerContext&) {
    return method == "FindMissingBlobs" ? failing(StatusCode::RESOURCE_EXHAUSTED, info) : Status::OK;
  };
  const int before = server.calls("FindMissingBlobs");
  const auto missing = connected(server)->missing(std::vector<BlobDigest>{digest_of("x")}, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::exhausted);
  EXPECT_EQ(server.calls("FindMissingBlobs"), before + 1);
}

TEST(RemoteFault, a_call_that_hangs_ends_by_its_deadline_and_by_a_stop) {
  HostileEngine server;
  server.before = [](const std::string& method, int number, grpc::ServerContext& context) {
    if (method == "FindMissingBlobs" && number > 1) HostileEngine::hang(context);
    return Status::OK;
  };
  const std::vector<BlobDigest> one{digest_of("x")};
  const auto engine = connected(server, {.call = milliseconds(1000), .patience = milliseconds(1000)});
  ASSERT_TRUE(engine->missing(one, {}));
  const auto hung = engine->missing(one, {});
  ASSERT_FALSE(hung);
  EXPECT_EQ(hung.error().where, kRemoteUnusable);
  EXPECT_NE(hung.error().what.find("DEADLINE_EXCEEDED"), std::string::npos) << hung.error().what;
  const auto patient = connected(server, {.call = std::chrono::hours(1), .patience = std::chrono::hours(1)});
  std::stop_source stop;
  std::jthread later([&] {
    std::this_thread::sleep_for(milliseconds(200));
    stop.request_stop();
  });
  const auto stopped = patient->missing(one, stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
}

TEST(RemoteFault, missing_blobs_that_nobody_asked_for_are_not_told) {
  HostileEngine server;
  server.edit_missing = [](v2::FindMissingBlobsResponse& answer) {
    auto& one = *answer.add_missing_blob_digests();
    one.set_hash(std::string(64, 'a'));
    one.set_size_bytes(7);
    *answer.add_missing_blob_digests() = answer.missing_blob_digests(0);
  };
  const auto engine = connected(server);
  const auto missing = engine->missing(std::vector<BlobDigest>{digest_of("x")}, {});
  ASSERT_TRUE(missing);
  EXPECT_EQ(*missing, std::vector<BlobDigest>{digest_of("x")});
  server.edit_missing = [](v2::FindMissingBlobsResponse& answer) { answer.mutable_missing_blob_digests(0)->set_size_bytes(-1); };
  EXPECT_EQ(engine->missing(std::vector<BlobDigest>{digest_of("x")}, {}).error().code, ErrorCode::corrupt);
}

// --- contents on their way there

TEST(RemoteFault, what_a_batch_did_not_take_is_sent_again_alone) {
  HostileEngine server;
  std::atomic<int> sent = 0;
  server.edit_update = [&](v2::BatchUpdateBlobsResponse& answer) {
    sent += answer.responses_size();
    if (server.calls("BatchUpdateBlobs") == 1) {
      answer.mutable_responses(1)->mutable_status()->set_code(StatusCode::UNAVAILABLE);
      answer.mutable_responses()->RemoveLast();  // of this one nothing is said
    }
  };
  std::vector<Blob> blobs;
  for (unsigned i = 0; i < 5; ++i) blobs.push_back(blob_of(noise(100, i)));
  const auto uploaded = connected(server)->upload(blobs, {});
  ASSERT_TRUE(uploaded) << uploaded.error().what;
  EXPECT_EQ(sent, 5 + 2);
  server.edit_update = [](v2::BatchUpdateBlobsResponse& answer) {
    answer.mutable_responses(0)->mutable_status()->set_code(StatusCode::INVALID_ARGUMENT);
  };
  EXPECT_EQ(connected(server)->upload(blobs, {}).error().code, ErrorCode::refused);
}

TEST(RemoteFault, a_write_that_breaks_goes_on_where_it_broke) {
  HostileEngine server;
  server.write_breaks = [](int number) { return number <= 3 ? std::size_t{3} << 20 : kNever; };
  const Blob blob = blob_of(noise(16u << 20, 5));
  const auto sent = connected(server)->upload(std::vector<Blob>{blob}, {});
  ASSERT_TRUE(sent) << sent.error().what;
  EXPECT_TRUE(server.stored(blob.digest.hash) == blob.bytes);
  const std::int64_t mib = 1 << 20;
  EXPECT_EQ(server.offsets("Write"), (std::vector<std::int64_t>{0, 3 * mib, 6 * mib, 9 * mib}));
}

TEST(RemoteFault, a_write_that_the_engine_forgot_begins_again) {
  HostileEngine server;
  server.write_breaks = [](int number) { return number == 1 ? std::size_t{3} << 20 : kNever; };
  server.before = [](const std::string& method, int, grpc::ServerContext&) {
    return method == "QueryWriteStatus" ? Status(StatusCode::NOT_FOUND, "which?") : Status::OK;
  };
  const Blob blob = blob_of(noise(8u << 20, 5));
  ASSERT_TRUE(connected(server)->upload(std::vector<Blob>{blob}, {}));
  EXPECT_TRUE(server.stored(blob.digest.hash) == blob.bytes);
  EXPECT_EQ(server.offsets("Write"), (std::vector<std::int64_t>{0, 0}));
}

TEST(RemoteFault, a_write_that_hangs_is_noticed) {
  HostileEngine server;
  server.before = [](const std::string& method, int, grpc::ServerContext& context) {
    if (method == "Write") HostileEngine::hang(context);
    return Status::OK;
  };
  const auto sent = connected(server, {.call = milliseconds(1000), .silence = milliseconds(300), .patience = milliseconds(500)})
                        ->upload(std::vector<Blob>{blob_of(noise(8u << 20, 5))}, {});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().where, kRemoteUnusable) << sent.error().what;
  EXPECT_NE(sent.error().what.find("nothing came for 300 ms"), std::string::npos) << sent.error().what;
}

TEST(RemoteFault, a_full_store_is_told_after_patience) {
  HostileEngine server;
  server.before = [](const std::string& method, int, grpc::ServerContext&) {
    return method == "Write" || method == "BatchUpdateBlobs" ? Status(StatusCode::RESOURCE_EXHAUSTED, "no space") : Status::OK;
  };
  const auto engine = connected(server, kShort);
  for (const std::size_t size : {100u, 8u << 20}) {
    const auto sent = engine->upload(std::vector<Blob>{blob_of(noise(size, 5))}, {});
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::exhausted);
    EXPECT_NE(sent.error().what.find("no space"), std::string::npos);
  }
  EXPECT_GT(server.calls("Write"), 1);
}

// --- and back

TEST(RemoteFault, a_read_that_breaks_goes_on_where_it_broke) {
  HostileEngine server;
  server.read_breaks = [](int number) { return number <= 3 ? std::size_t{1} << 20 : kNever; };
  const Blob blob = blob_of(noise(5u << 20, 6));
  server.store(blob.digest.hash, blob.bytes);
  const auto read = connected(server)->read(blob.digest, 8u << 20, {});
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_TRUE(*read == blob.bytes);
  const std::int64_t mib = 1 << 20;
  EXPECT_EQ(server.offsets("Read"), (std::vector<std::int64_t>{0, mib, 2 * mib, 3 * mib}));
}

TEST(RemoteFault, what_is_not_what_its_digest_says_is_corrupt) {
  for (const std::size_t size : {std::size_t{1000}, std::size_t{5} << 20}) {
    const Blob blob = blob_of(noise(size, 6));
    const auto code_of = [&](const std::string& bytes) {
      HostileEngine server;
      server.store(blob.digest.hash, bytes);
      const auto read = connected(server, kShort)->read(blob.digest, 8u << 20, {});
      return read ? "fine" : read.error().what;
    };
    EXPECT_EQ(code_of(blob.bytes), "fine");
    std::string other = blob.bytes;
    other[size / 2] = static_cast<char>(other[size / 2] ^ 1);
    EXPECT_NE(code_of(other).find("another digest"), std::string::npos) << code_of(other);
    EXPECT_NE(code_of(blob.bytes + "more").find(size == 1000 ? "another digest" : "more than"), std::string::npos)
        << code_of(blob.bytes + "more");
    EXPECT_NE(code_of(blob.bytes.substr(1)), "fine");
  }
}

TEST(RemoteFault, a_blob_that_was_evicted_is_missing_and_one_of_another_answer_is_none) {
  HostileEngine server;
  const auto engine = connected(server, kShort);
  EXPECT_EQ(engine->read(digest_of("gone"), 100, {}).error().where, kBlobMissing);
  server.edit_batch = [](v2::BatchReadBlobsResponse& answer) { answer.mutable_responses(0)->mutable_digest()->set_hash("other"); };
  EXPECT_NE(engine->read(digest_of("gone"), 100, {}).error().what.find("says nothing of some"), std::string::npos);
}

TEST(RemoteFault, several_that_are_read_are_asked_for_until_all_are_there) {
  HostileEngine server;
  std::vector<BlobDigest> digests;
  for (unsigned i = 0; i < 20; ++i) {
    const Blob blob = blob_of(noise(1000, i));
    server.store(blob.digest.hash, blob.bytes);
    digests.push_back(blob.digest);
  }
  std::atomic<int> asked = 0;
  server.edit_batch = [&](v2::BatchReadBlobsResponse& answer) {
    asked += answer.responses_size();
    if (server.calls("BatchReadBlobs") > 1) return;
    answer.mutable_responses()->DeleteSubrange(0, 5);
    answer.mutable_responses(0)->clear_data();
    answer.mutable_responses(0)->mutable_status()->set_code(StatusCode::RESOURCE_EXHAUSTED);
  };
  const auto read = connected(server)->read(digests, 20'000, {});
  ASSERT_TRUE(read) << read.error().what;
  for (unsigned i = 0; i < 20; ++i) EXPECT_TRUE((*read)[i] == noise(1000, i));
  EXPECT_EQ(asked, 20 + 6);
  // An engine that does not know the call has streams.
  server.before = [](const std::string& method, int, grpc::ServerContext&) {
    return method == "BatchReadBlobs" ? Status(StatusCode::UNIMPLEMENTED, "") : Status::OK;
  };
  const auto streamed = connected(server)->read(digests, 20'000, {});
  ASSERT_TRUE(streamed) << streamed.error().what;
  EXPECT_EQ(*streamed, *read);
  EXPECT_EQ(server.calls("Read"), 20);
}

// --- execution

TEST(RemoteFault, an_execution_whose_stream_breaks_is_waited_for) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op-1"));
    return Status(StatusCode::UNAVAILABLE, "Socket closed");
  };
  std::string waited_for;
  server.wait = [&](int number, const std::string& name, grpc::ServerContext&, HostileEngine::Operations& out) {
    waited_for = name;
    out.Write(HostileEngine::running("op-1"));
    if (number == 1) return Status::OK;  // an end, but not of the operation
    out.Write(HostileEngine::done("op-1", answer_of(3)));
    return Status::OK;
  };
  Heard heard;
  const auto execution = connected(server)->execute(some_action(), heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(execution->result.exit_code, 3);
  EXPECT_EQ(execution->attempts, 3u);
  EXPECT_EQ(waited_for, "op-1");
  EXPECT_EQ(server.calls("Execute"), 1);
  EXPECT_EQ(heard.queues, 1);
  EXPECT_EQ(heard.executions, 1);
}

TEST(RemoteFault, an_operation_that_the_scheduler_forgot_is_executed_again) {
  HostileEngine server;
  server.execute = [](int number, grpc::ServerContext&, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op-" + std::to_string(number)));
    if (number == 1) return Status(StatusCode::UNAVAILABLE, "restarting");
    out.Write(HostileEngine::done("op-2", answer_of(0)));
    return Status::OK;
  };
  server.wait = [](int, const std::string&, grpc::ServerContext&, HostileEngine::Operations&) {
    return Status(StatusCode::NOT_FOUND, "no such operation");
  };
  Heard heard;
  const auto execution = connected(server)->execute(some_action(), heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(execution->status, 0);
  EXPECT_EQ(server.calls("Execute"), 2);
  EXPECT_EQ(server.calls("WaitExecution"), 1);
}

// The engine is there and has answered: that is no outage, and the first time nothing to wait for.
TEST(RemoteFault, what_the_scheduler_forgot_is_executed_at_once_and_told_as_no_outage) {
  RemoteEngine* engine = nullptr;
  std::atomic<int> outages = 0;
  HostileEngine server;
  server.execute = [&](int number, grpc::ServerContext&, HostileEngine::Operations& out) {
    outages += number > 1 && engine->outage() ? 1 : 0;
    out.Write(HostileEngine::running("op"));
    if (number < 4) return Status(StatusCode::UNAVAILABLE, "restarting");
    out.Write(HostileEngine::done("op", answer_of(0)));
    return Status::OK;
  };
  server.wait = [](int, const std::string&, grpc::ServerContext&, HostileEngine::Operations&) {
    return Status(StatusCode::NOT_FOUND, "no such operation");
  };
  Heard heard;
  const auto patient = connected(server);
  engine = patient.get();
  const auto execution = patient->execute(some_action(), heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(server.calls("Execute"), 4);
  EXPECT_EQ(outages, 0);

  HostileEngine silent;  // without patience there is no other try: this one is none
  silent.execute = [](int number, grpc::ServerContext& context, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op"));
    if (number == 1) HostileEngine::hang(context);
    out.Write(HostileEngine::done("op", answer_of(0)));
    return Status::OK;
  };
  silent.wait = server.wait;
  const auto again = connected(silent, {.silence = milliseconds(200), .patience = milliseconds(0)})->execute(some_action(), heard, {});
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(silent.calls("Execute"), 2);
}

TEST(RemoteFault, an_action_that_the_engine_forgets_each_time_is_lost) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op"));
    return Status(StatusCode::UNAVAILABLE, "restarting");
  };
  server.wait = [](int, const std::string&, grpc::ServerContext&, HostileEngine::Operations&) {
    return Status(StatusCode::NOT_FOUND, "no such operation");
  };
  Heard heard;
  const auto execution = connected(server)->execute(some_action(), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_NE(execution.error().what.find("begun 5 times"), std::string::npos) << execution.error().what;
  EXPECT_NE(execution.error().where, kRemoteUnusable);
  EXPECT_EQ(server.calls("Execute"), 5);
}

TEST(RemoteFault, a_silent_stream_is_asked_after_and_replaced) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext& context, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op"));
    HostileEngine::hang(context);
    return Status::OK;
  };
  server.wait = [](int number, const std::string&, grpc::ServerContext& context, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op"));
    if (number < 3) HostileEngine::hang(context);
    out.Write(HostileEngine::done("op", answer_of(0)));
    return Status::OK;
  };
  Heard heard;
  const auto execution = connected(server, {.silence = milliseconds(200)})->execute(some_action(), heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(server.calls("Execute"), 1);
  EXPECT_GE(server.calls("WaitExecution"), 3);
}

TEST(RemoteFault, an_operation_of_which_nothing_is_told_goes_on_while_the_engine_answers) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op"));
    std::this_thread::sleep_for(milliseconds(1500));
    out.Write(HostileEngine::done("op", answer_of(0)));
    return Status::OK;
  };
  server.wait = [](int, const std::string&, grpc::ServerContext& context, HostileEngine::Operations&) {
    HostileEngine::hang(context);
    return Status::OK;
  };
  Heard heard;
  const auto execution = connected(server, {.silence = milliseconds(200)})->execute(some_action(), heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(execution->status, 0);
  EXPECT_EQ(server.calls("Execute"), 1);
  EXPECT_GE(server.calls("WaitExecution"), 1);
}

TEST(RemoteFault, an_engine_that_hangs_for_good_is_given_up_and_the_operation_cancelled) {
  HostileEngine server;
  server.before = [](const std::string& method, int number, grpc::ServerContext& context) {
    if (method == "GetCapabilities" && number > 1) HostileEngine::hang(context);
    return Status::OK;
  };
  server.execute = [](int, grpc::ServerContext& context, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op"));
    HostileEngine::hang(context);
    return Status::OK;
  };
  server.wait = [](int, const std::string&, grpc::ServerContext& context, HostileEngine::Operations&) {
    HostileEngine::hang(context);
    return Status::OK;
  };
  Heard heard;
  const auto execution = connected(server, {.call = milliseconds(1000), .silence = milliseconds(200), .patience = milliseconds(700)})
                             ->execute(some_action(), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().where, kRemoteUnusable) << execution.error().what;
  EXPECT_EQ(server.calls("CancelOperation op"), 1);
}

TEST(RemoteFault, a_stop_cancels_the_operation) {
  for (const bool named : {true, false}) {
    HostileEngine server;
    std::stop_source stop;
    server.execute = [&](int, grpc::ServerContext& context, HostileEngine::Operations& out) {
      if (!named) stop.request_stop();  // before its name is known
      out.Write(HostileEngine::running("op"));
      if (named) {
        std::this_thread::sleep_for(milliseconds(100));
        stop.request_stop();
      }
      HostileEngine::hang(context);
      return Status::CANCELLED;
    };
    Heard heard;
    const auto execution = connected(server)->execute(some_action(), heard, stop.get_token());
    ASSERT_FALSE(execution);
    EXPECT_EQ(execution.error().code, ErrorCode::cancelled);
    EXPECT_EQ(server.calls("CancelOperation op"), 1) << named;
  }
}

TEST(RemoteFault, statuses_of_an_operation) {
  const auto ended_with = [](const google::rpc::Status& status) {
    HostileEngine server;
    server.execute = [&](int, grpc::ServerContext&, HostileEngine::Operations& out) {
      v2::ExecuteResponse answer;
      *answer.mutable_status() = status;
      out.Write(HostileEngine::done("op", answer));
      return Status::OK;
    };
    Heard heard;
    const auto execution = connected(server, kShort)->execute(some_action(), heard, {});
    if (execution) return "status " + std::to_string(execution->status) + " after " + std::to_string(server.calls("Execute"));
    return execution.error().where.empty() ? "error: " + execution.error().what : execution.error().where;
  };
  google::rpc::Status status;
  status.set_code(StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ended_with(status), "status 4 after 1");
  status.set_code(StatusCode::CANCELLED);
  EXPECT_EQ(ended_with(status), "status 1 after 1");
  status.set_code(StatusCode::INTERNAL);
  EXPECT_EQ(ended_with(status), "status 13 after 2");
  status.set_code(StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ended_with(status), kRemoteUnusable);
  status.set_code(StatusCode::NOT_FOUND);
  EXPECT_EQ(ended_with(status), kBlobMissing);
  status.set_code(StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(ended_with(status).starts_with("error: "));
  status.set_code(-5);
  EXPECT_EQ(ended_with(status), "status 2 after 2");
  status.set_code(0);
  EXPECT_NE(ended_with(status).find("without a result"), std::string::npos);
  google::rpc::PreconditionFailure failure;
  failure.add_violations()->set_type("MISSING");
  status.set_code(StatusCode::FAILED_PRECONDITION);
  status.add_details()->PackFrom(failure);
  EXPECT_EQ(ended_with(status), kBlobMissing);
}

TEST(RemoteFault, results_that_lie_are_no_answers) {
  const auto told = [](const std::function<void(v2::ActionResult&)>& edit) {
    HostileEngine server;
    server.execute = [&](int, grpc::ServerContext&, HostileEngine::Operations& out) {
      v2::ExecuteResponse answer;
      edit(*answer.mutable_result());
      out.Write(HostileEngine::done("op", answer));
      return Status::OK;
    };
    Heard heard;
    const auto execution = connected(server, kShort)->execute(some_action(), heard, {});
    return execution ? "told" : execution.error().what;
  };
  const auto file = [](std::string path, std::string hash = std::string(64, 'a'), std::int64_t size = 1) {
    return [=](v2::ActionResult& result) {
      auto& one = *result.add_output_files();
      one.set_path(path);
      one.mutable_digest()->set_hash(hash);
      one.mutable_digest()->set_size_bytes(size);
    };
  };
  EXPECT_EQ(told(file("a/b")), "told");
  for (const std::string& path :
       {std::string(""), std::string("/etc/passwd"), std::string("../up"), std::string("a/../b"), std::string("a//b"), std::string("a/"),
        std::string("./a"), std::string("a\0b", 3), std::string(256, 'x'), std::string(5000, '/')})
    EXPECT_NE(told(file(path)).find("is no path of an output"), std::string::npos) << path;
  EXPECT_NE(told(file("a", "short")).find("a digest that is none"), std::string::npos);
  EXPECT_NE(told(file("a", std::string(64, 'A'))).find("a digest that is none"), std::string::npos);
  EXPECT_NE(told(file("a", std::string(64, 'a'), -1)).find("a digest that is none"), std::string::npos);
  EXPECT_NE(told([&](v2::ActionResult& result) {
              file("a")(result);
              file("a")(result);
            }).find("is there twice"),
            std::string::npos);
  EXPECT_NE(told([&](v2::ActionResult& result) {
              result.set_stdout_raw("what");
              result.mutable_stdout_digest()->set_hash(digest_of("else").hash);
              result.mutable_stdout_digest()->set_size_bytes(4);
            }).find("is not what its digest says"),
            std::string::npos);
  EXPECT_NE(told([&](v2::ActionResult& result) { result.add_output_symlinks()->set_path("a"); }).find("points at nothing"),
            std::string::npos);
  // More than fits in a message: gRPC's limit, one line, not minutes of tries.
  EXPECT_NE(told([&](v2::ActionResult& result) {
              for (int i = 0; i < 200'000; ++i) file("f" + std::to_string(i))(result);
            }),
            "told");
  EXPECT_EQ(told([&](v2::ActionResult& result) {
              auto& link = *result.add_output_symlinks();
              link.set_path("l");
              link.set_target("x");
              *result.add_output_file_symlinks() = link;
              result.mutable_execution_metadata()->mutable_queued_timestamp()->set_seconds(INT64_MAX);
              result.mutable_execution_metadata()->mutable_worker_start_timestamp()->set_nanos(-1);
            }),
            "told");
}

TEST(RemoteFault, an_answer_that_is_no_message_of_the_protocol_is_none) {
  HostileEngine server;
  server.execute = [](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    HostileEngine::Operation operation;
    operation.set_name("op");
    operation.set_done(true);
    operation.mutable_response()->set_type_url("type.googleapis.com/build.bazel.remote.execution.v2.ExecuteResponse");
    operation.mutable_response()->set_value("\xff\xff\xff\xff");
    out.Write(operation);
    return Status::OK;
  };
  Heard heard;
  const auto execution = connected(server, kShort)->execute(some_action(), heard, {});
  ASSERT_FALSE(execution);
  EXPECT_NE(execution.error().what.find("done without a result"), std::string::npos) << execution.error().what;
}

TEST(RemoteFault, output_comes_while_the_action_runs_and_goes_on_where_it_broke) {
  HostileEngine server;
  const std::string log = noise(300'000, 3);
  server.store("log-of-op", log);
  server.read_breaks = [](int number) { return number == 1 ? std::size_t{100'000} : kNever; };
  Heard heard;
  server.execute = [&](int, grpc::ServerContext&, HostileEngine::Operations& out) {
    out.Write(HostileEngine::running("op", "log-of-op"));
    for (int i = 0; i < 400 && server.calls("Read") < 2; ++i) std::this_thread::sleep_for(milliseconds(5));
    std::this_thread::sleep_for(milliseconds(500));
    out.Write(HostileEngine::done("op", answer_of(0)));
    return Status::OK;
  };
  const auto execution = connected(server)->execute(some_action(), heard, {});
  ASSERT_TRUE(execution) << execution.error().what;
  EXPECT_EQ(server.calls("Read"), 2);
  EXPECT_EQ(server.offsets("Read"), (std::vector<std::int64_t>{0, 131'072}));
  EXPECT_TRUE(log.starts_with(heard.out));
  EXPECT_GT(heard.out.size(), 131'072u);
}

TEST(RemoteFault, a_result_that_is_not_there_is_none_and_a_lookup_that_fails_is_an_error) {
  HostileEngine server;  // has no action cache: UNIMPLEMENTED
  EXPECT_EQ(connected(server)->known_result(digest_of("x"), {}).error().where, kRemoteUnusable);
}

}  // namespace
}  // namespace casemate
