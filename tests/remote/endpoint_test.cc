// Addresses of engines, and what is none.
#include "remote/endpoint.h"

#include <string>

#include <gtest/gtest.h>

#include "action/messages.h"
#include "hostile_engine.h"
#include "remote/engine.h"

namespace casemate {
namespace {

std::string address_of(const std::string& text) {
  const auto endpoint = parse_remote(text);
  if (!endpoint) return "error: " + endpoint.error().what;
  return (endpoint->tls ? "tls " : "plain ") + endpoint->address;
}

TEST(RemoteEndpoint, schemes_hosts_and_ports) {
  EXPECT_EQ(address_of("grpc://engine.example:8980"), "plain engine.example:8980");
  EXPECT_EQ(address_of("grpcs://engine.example:8980/"), "tls engine.example:8980");
  EXPECT_EQ(address_of("GRPCS://engine.example"), "tls engine.example:443");
  EXPECT_EQ(address_of("localhost:1"), "plain localhost:1");
  EXPECT_EQ(address_of("127.0.0.1:65535"), "plain 127.0.0.1:65535");
  EXPECT_EQ(address_of("grpc://[::1]:8980"), "plain [::1]:8980");
  EXPECT_EQ(address_of("unix:/run/engine.sock"), "plain unix:/run/engine.sock");
  EXPECT_EQ(address_of("unix:///run/engine.sock"), "plain unix:/run/engine.sock");
}

TEST(RemoteEndpoint, what_is_none_says_why) {
  const struct {
    std::string text, why;
  } cases[] = {
      {"", "expected grpc://HOST:PORT"},
      {"http://host:80", "grpc://HOST:PORT"},
      {"https://host:80", "grpcs://HOST:PORT"},
      {"ftp://host:80", "expected grpc://HOST:PORT"},
      {"host", "there is no port"},
      {"grpc://host", "there is no port"},
      {"grpc://:8980", "expected grpc://HOST:PORT"},
      {"grpc://host:", "'' is no port"},
      {"grpc://host:0", "'0' is no port"},
      {"grpc://host:65536", "'65536' is no port"},
      {"grpc://host:99999999999999999999", "is no port"},
      {"grpc://host:-1", "'-1' is no port"},
      {"grpc://host:80x", "'80x' is no port"},
      {"grpc://ho st:80", "no blanks"},
      {std::string("grpc://host:80\x1b[31m"), "no control characters"},
      {std::string("grpc://ho\0st:80", 15), "no control characters"},
      {"grpc://host:80/main", "an instance name is a setting"},
      {"grpc://host:80?x=1", "an instance name is a setting"},
      {"grpc://me:secret@host:80", "no names and passwords"},
      {"::1:8980", "in brackets"},
      {"grpc://[::1:8980", "'[' without ']'"},
      {"grpc://[::1]8980", "expected grpc://HOST:PORT"},
      {"grpc://[]:80", "expected grpc://HOST:PORT"},
      {"grpc://[g;h]:80", "no name and no address"},
      {"grpc://-host:80", "no name and no address"},
      {"grpc://h$st:80", "no name and no address"},
      {"grpc://" + std::string(254, 'a') + ":80", "no name and no address"},
      {"unix:", "must be absolute"},
      {"unix:engine.sock", "must be absolute"},
      {"unix:/" + std::string(200, 'a'), "at most 107 bytes"},
  };
  for (const auto& [text, why] : cases) {
    const auto endpoint = parse_remote(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_EQ(endpoint.error().code, ErrorCode::invalid_input) << text;
    EXPECT_NE(endpoint.error().what.find(why), std::string::npos) << text << ": " << endpoint.error().what;
    EXPECT_EQ(endpoint.error().what.find("secret"), std::string::npos) << text;
    for (const char byte : endpoint.error().what) EXPECT_GE(static_cast<unsigned char>(byte), ' ') << text;
  }
}

TEST(RemoteOffer, of_an_engine_whose_storage_has_an_address_of_its_own_is_of_both) {
  HostileEngine runs, keeps;
  runs.capabilities.mutable_cache_capabilities()->set_max_batch_total_size_bytes(1);  // nobody asks it
  keeps.capabilities.mutable_execution_capabilities()->set_exec_enabled(false);
  keeps.capabilities.mutable_cache_capabilities()->set_max_batch_total_size_bytes(10'000);
  auto& ranges = *runs.capabilities.mutable_execution_capabilities()->mutable_execution_priority_capabilities();
  for (const auto& [least, most] : {std::pair(3, 7), {-2, 1}, {9, 8}}) {  // the last is none
    ranges.add_priorities()->set_min_priority(least);
    ranges.mutable_priorities()->rbegin()->set_max_priority(most);
  }
  RemoteEndpoint endpoint = runs.endpoint();
  endpoint.cache = keeps.endpoint().address;
  const RemotePolicy policy{.call = std::chrono::milliseconds(5000), .patience = std::chrono::milliseconds(500)};
  const auto engine = RemoteEngine::connect(endpoint, policy, {});
  ASSERT_TRUE(engine) << engine.error().what;
  EXPECT_TRUE((*engine)->offer().executes);
  EXPECT_EQ((*engine)->offer().most_batch, 10'000u);
  EXPECT_EQ((*engine)->offer().least_priority, std::pair(-2, 7));
  const Blob blob = blob_of("kept there");
  ASSERT_TRUE((*engine)->upload(std::vector{blob}, {}));
  EXPECT_EQ(keeps.stored(blob.digest.hash), "kept there");
  EXPECT_EQ(runs.calls("BatchUpdateBlobs") + runs.calls("FindMissingBlobs"), 0);
  keeps.before = [](const std::string&, int, grpc::ServerContext&) { return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no"); };
  const auto refused = RemoteEngine::connect(endpoint, policy, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where, kRemoteUnusable);
  EXPECT_NE(refused.error().what.find("its cache (an address of its own)"), std::string::npos) << refused.error().what;
}

}  // namespace
}  // namespace casemate
