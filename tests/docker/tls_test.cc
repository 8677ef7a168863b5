// A daemon over TCP with TLS and certificates of both sides.
#include <cstdlib>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "daemon_scratch.h"

namespace casemate {
namespace {

int free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

class Tls : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    if (program_on_path("openssl").empty()) GTEST_SKIP() << "openssl is not installed";
    std::string name = "/var/tmp/casemate_tls.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top_ = name;
    for (const char* who : {"good", "other"}) ASSERT_NO_FATAL_FAILURE(make_authority(top_ / who));
    port_ = free_port();
    const std::string good = top_ / "good";
    daemon_ = Daemon::start({.kind = Daemon::Kind::docker,
                             .on_host_network = true,
                             .more = {"--tlsverify", "--tlscacert", good + "/ca.pem", "--tlscert", good + "/server.pem", "--tlskey",
                                      good + "/key.pem", "--host", fmt::format("tcp://127.0.0.1:{}", port_)}},
                            why_not_);
    if (!daemon_) GTEST_SKIP() << why_not_;
  }
  void TearDown() override {
    api_.reset();
    daemon_.reset();
    fs::remove_all(top_);
  }
  // ca.pem, and one key with a certificate for a client (cert.pem) and one for the server 127.0.0.1 (server.pem).
  static void make_authority(const fs::path& directory) {
    fs::create_directories(directory);
    const std::string line = fmt::format(
        "cd {} && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem && "
        "openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout key.pem -out request.pem && "
        "for use in client server; do echo \"subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${{use}}Auth\" > ext && "
        "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile ext -out $use.pem || exit 1; done "
        "&& "
        "mv client.pem cert.pem",
        directory.string());
    const auto made = run_program({"/bin/sh", "-c", line}, std::chrono::seconds(120));
    ASSERT_TRUE(made) << made.error().what;
    ASSERT_EQ(made->end.code, 0) << made->err;
  }
  Result<DockerVersion> ask_with(const std::string& certificates, bool tls = true) {
    const auto endpoint = parse_docker_host(fmt::format("tcp://127.0.0.1:{}", port_), tls, certificates);
    if (!endpoint) return std::unexpected(endpoint.error());
    use(*endpoint);
    return negotiate();
  }

  fs::path top_;
  int port_ = 0;
  std::string why_not_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Tls, both_sides_show_certificates_and_what_fails_says_which) {
  auto version = ask_with(top_ / "good");
  ASSERT_TRUE(version) << version.error().what;
  EXPECT_EQ(version->name, "docker");
  const auto reply = ask("GET", "/containers/json");
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 200);

  version = ask_with(top_ / "other");
  ASSERT_FALSE(version);
  EXPECT_EQ(version.error().code, ErrorCode::refused);
  EXPECT_NE(version.error().what.find("has a certificate that '" + (top_ / "other").string() + "/ca.pem' does not vouch for"),
            std::string::npos)
      << version.error().what;

  version = ask_with("", false);
  ASSERT_FALSE(version);
  EXPECT_NE(version.error().what.find("speaks TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"), std::string::npos)
      << version.error().what;

  fs::create_directories(top_ / "anonymous");
  fs::copy(top_ / "good/ca.pem", top_ / "anonymous/ca.pem");
  version = ask_with(top_ / "anonymous");
  ASSERT_FALSE(version);
  EXPECT_EQ(version.error().where, "docker daemon");
  EXPECT_NE(version.error().what.find("cert"), std::string::npos) << version.error().what;

  std::ofstream(top_ / "anonymous/cert.pem") << "no certificate";
  std::ofstream(top_ / "anonymous/key.pem") << "no key";
  version = ask_with(top_ / "anonymous");
  ASSERT_FALSE(version);
  EXPECT_EQ(version.error().code, ErrorCode::invalid_input);
  EXPECT_NE(version.error().what.find("can't use the certificates"), std::string::npos) << version.error().what;
}

TEST_F(Tls, streams_work_but_cannot_end_in_one_direction) {
  ASSERT_TRUE(ask_with(top_ / "good"));
  DockerRequest import{.method = "POST",
                       .path = "/images/create?" + docker_query({{"fromSrc", "-"}, {"repo", kSmallImage}, {"changes", "ENV PATH=/bin"}})};
  import.content_type = "application/x-tar";
  import.produce = [tar = small_root_tar()]() mutable -> Result<std::string> { return std::exchange(tar, {}); };
  ASSERT_EQ(ask(std::move(import))->status, 200);
  const auto made = ask(
      "POST", "/containers/create",
      fmt::format(
          R"({{"Image":"{}","Tty":true,"OpenStdin":true,"AttachStdin":true,"Cmd":["/bin/sh","-c","read a; echo got $a; head -c 300000 /dev/zero"],)"
          R"("HostConfig":{{"NetworkMode":"none","LogConfig":{{"Type":"none"}}}}}})",
          kSmallImage));
  ASSERT_EQ(made->status, 201) << made->body;
  const std::string id = made->body.substr(made->body.find(":\"") + 2, 64);
  DockerRequest attach{.method = "POST", .path = "/containers/" + id + "/attach?stream=1&stdin=1&stdout=1&stderr=1"};
  std::unique_ptr<DockerStream> stream;
  bool answered = false;
  api_->open_stream(attach, [&](Result<std::unique_ptr<DockerStream>> opened) {
    answered = true;
    ASSERT_TRUE(opened) << opened.error().what;
    stream = std::move(*opened);
  });
  turn_until([&answered] { return answered; });
  ASSERT_TRUE(stream);
  EXPECT_FALSE(stream->can_close_writing());
  std::string heard;
  std::optional<Result<void>> end;
  stream->listen([&heard](std::string_view bytes) { heard += bytes; }, [&end](Result<void> result) { end = std::move(result); });
  ASSERT_EQ(ask("POST", "/containers/" + id + "/start")->status, 204);
  stream->write("typed\n", true);
  turn_until([&end] { return end.has_value(); });
  EXPECT_TRUE(*end) << end->error().what;
  EXPECT_NE(heard.find("got typed"), std::string::npos);
  EXPECT_GT(heard.size(), 300000u);
  ask("DELETE", "/containers/" + id + "?force=1");
}

}  // namespace
}  // namespace casemate
