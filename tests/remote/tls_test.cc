// Who the engine is and who we are: TLS, mutual TLS, and what goes with each call as a header.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "hostile_engine.h"
#include "remote/engine.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

const RemotePolicy kShort{.call = milliseconds(5000), .patience = milliseconds(500)};

// An authority, an engine's certificate for localhost and a client's; and one of nobody's.
class RemoteTls : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = fs::path("/var/tmp") / fmt::format("casemate-tls.{}", ::getpid());
    fs::create_directories(directory_);
    const std::string script = fmt::format(
        "cd '{}' && exec 2>/dev/null && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2 "
        "&& "
        "for who in engine client; do openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj /CN=localhost && "
        "printf 'subjectAltName=DNS:localhost\\n' > san && "
        "openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $who.pem -days 2 -extfile san || exit 1; done && "
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=localhost -days 2",
        directory_.string());
    made_ = std::system(script.c_str()) == 0;
  }
  static void TearDownTestSuite() { fs::remove_all(directory_); }
  void SetUp() override { ASSERT_TRUE(made_) << "openssl could not make certificates"; }

  static std::string file(const std::string& name) { return directory_ / name; }
  static std::string text(const std::string& name) {
    std::ifstream stream(directory_ / name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static std::shared_ptr<grpc::ServerCredentials> credentials(bool mutual) {
    grpc::SslServerCredentialsOptions options(mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                     : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    options.pem_root_certs = text("ca.pem");
    options.pem_key_cert_pairs.push_back({text("engine.key"), text("engine.pem")});
    return grpc::SslServerCredentials(options);
  }
  static std::string outcome(const RemoteEndpoint& endpoint) {
    const auto engine = RemoteEngine::connect(endpoint, kShort, {});
    if (engine) return "connected";
    EXPECT_EQ(engine.error().where, kRemoteUnusable);
    return engine.error().what;
  }

  static fs::path directory_;
  static bool made_;
};
fs::path RemoteTls::directory_;
bool RemoteTls::made_ = false;

TEST_F(RemoteTls, an_engine_proves_who_it_is) {
  const HostileEngine server(credentials(false));
  RemoteEndpoint endpoint = server.endpoint();
  endpoint.tls = true;
  endpoint.ca = file("ca.pem");
  EXPECT_EQ(outcome(endpoint), "connected");
  endpoint.ca = file("other.pem");
  EXPECT_NE(outcome(endpoint), "connected");
  endpoint.ca = "";  // the system's authorities know nothing of ours
  EXPECT_NE(outcome(endpoint), "connected");
  endpoint.tls = false;
  EXPECT_NE(outcome(endpoint), "connected");
}

TEST_F(RemoteTls, an_engine_may_want_to_know_who_we_are) {
  const HostileEngine server(credentials(true));
  RemoteEndpoint endpoint = server.endpoint();
  endpoint.tls = true;
  endpoint.ca = file("ca.pem");
  EXPECT_NE(outcome(endpoint), "connected");
  endpoint.certificate = file("client.pem");
  EXPECT_NE(outcome(endpoint).find("one of them is missing"), std::string::npos);
  endpoint.key = file("client.key");
  EXPECT_EQ(outcome(endpoint), "connected");
  endpoint.certificate = file("other.pem");
  endpoint.key = file("other.key");
  EXPECT_NE(outcome(endpoint), "connected");
}

TEST_F(RemoteTls, files_that_are_no_certificates_are_named) {
  RemoteEndpoint endpoint;
  endpoint.address = "localhost:1";
  endpoint.ca = file("ca.pem");
  EXPECT_NE(outcome(endpoint).find("is not grpcs://"), std::string::npos);
  endpoint.tls = true;
  endpoint.ca = file("none.pem");
  EXPECT_NE(outcome(endpoint).find("none.pem"), std::string::npos) << outcome(endpoint);
  endpoint.ca = file("san");
  EXPECT_NE(outcome(endpoint).find("is no PEM file"), std::string::npos) << outcome(endpoint);
}

TEST(RemoteHeaders, go_with_each_call_and_expired_ones_end_it) {
  HostileEngine server;
  std::string metadata;
  server.before = [&](const std::string& method, int, grpc::ServerContext& context) {
    const auto& sent = context.client_metadata();
    const auto said = sent.find("authorization");
    const bool ours = said != sent.end() && std::string(said->second.data(), said->second.size()) == "Bearer secret";
    if (const auto who = sent.find("build.bazel.remote.execution.v2.requestmetadata-bin"); who != sent.end())
      metadata.assign(who->second.data(), who->second.size());
    return ours && method != "GetActionResult" && method != "FindMissingBlobs" ? grpc::Status::OK
                                                                               : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "expired");
  };
  RemoteEndpoint endpoint = server.endpoint();
  EXPECT_FALSE(RemoteEngine::connect(endpoint, kShort, {}));
  endpoint.headers = {{"authorization", "Bearer secret"}, {"x-team", "a"}};
  const auto engine = RemoteEngine::connect(endpoint, kShort, {});
  ASSERT_TRUE(engine) << engine.error().what;
  build::bazel::remote::execution::v2::RequestMetadata who;
  ASSERT_TRUE(who.ParseFromString(metadata));
  EXPECT_EQ(who.tool_details().tool_name(), "casemate");
  const auto missing = (*engine)->missing(std::vector<BlobDigest>{{std::string(64, 'a'), 1}}, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().where, kRemoteUnusable);
  EXPECT_EQ(missing.error().what.find("secret"), std::string::npos) << missing.error().what;
  EXPECT_EQ(server.calls("FindMissingBlobs"), 1);
}

TEST(RemoteHeaders, that_http_can_not_have_are_refused_before_anything_is_sent) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "x"},           {"Authorization", "x"}, {"a b", "x"},         {"grpc-timeout", "1"}, {"x-bin", "x"},
      {"a", "line\nline"}, {"a", "\x01"},          {"a", "gr\xc3\xbcn"}, {":path", "/"},        {"a", std::string(20'000, 'a')},
  };
  for (const auto& header : bad) {
    RemoteEndpoint endpoint;
    endpoint.address = "localhost:1";
    endpoint.headers = {header};
    const auto engine = RemoteEngine::connect(endpoint, kShort, {});
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().code, ErrorCode::invalid_input) << header.first << engine.error().what;
  }
}

TEST(RemoteInstance, names_that_part_a_resource_name_are_refused) {
  for (const std::string& name : {std::string("main/blobs"), std::string("uploads"), std::string("\xff"), std::string(2000, 'a')}) {
    RemoteEndpoint endpoint;
    endpoint.address = "localhost:1";
    endpoint.instance = name;
    const auto engine = RemoteEngine::connect(endpoint, kShort, {});
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().code, ErrorCode::invalid_input) << engine.error().what;
  }
}

}  // namespace
}  // namespace casemate
