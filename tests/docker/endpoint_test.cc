// Where daemons listen.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "docker/endpoint.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Kind = DockerEndpoint::Kind;

class Endpoint : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "casemate_endpoint.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top_ = name;
    for (const char* variable : {"DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"}) {
      const char* const value = std::getenv(variable);
      if (value) before_[variable] = value;
      ::unsetenv(variable);
    }
  }
  void TearDown() override {
    for (const char* variable : {"DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"}) {
      ::unsetenv(variable);
      if (before_.contains(variable)) ::setenv(variable, before_[variable].c_str(), 1);
    }
    fs::remove_all(top_);
  }
  static Error refused(const std::string& host, bool tls = false, const std::string& certificates = "") {
    const auto parsed = parse_docker_host(host, tls, certificates);
    EXPECT_FALSE(parsed) << host;
    return parsed ? Error{} : parsed.error();
  }
  UniqueFd listen(const fs::path& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  fs::path top_;
  std::map<std::string, std::string> before_;
};

TEST_F(Endpoint, addresses_are_those_of_docker_host) {
  auto parsed = parse_docker_host("unix:///run/user/1000/docker.sock", false, "");
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->local());
  EXPECT_EQ(parsed->path, "/run/user/1000/docker.sock");
  EXPECT_EQ(parsed->origin, "unix:///run/user/1000/docker.sock (DOCKER_HOST)");
  EXPECT_EQ(parse_docker_host("unix://", false, "")->path, "/var/run/docker.sock");
  parsed = parse_docker_host("tcp://build-1.example:2375/", false, "");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->kind, Kind::tcp);
  EXPECT_EQ(parsed->host, "build-1.example");
  EXPECT_EQ(parsed->port, 2375);
  EXPECT_FALSE(parsed->local());
  EXPECT_EQ(parse_docker_host("tcp://h", false, "")->port, 2375);
  parsed = parse_docker_host("tcp://[::1]:1234", false, "");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->host, "::1");
  EXPECT_EQ(parsed->port, 1234);
  EXPECT_EQ(parsed->origin, "tcp://[::1]:1234 (DOCKER_HOST)");
}

TEST_F(Endpoint, what_is_no_address_says_what_one_is) {
  for (const char* host : {"", "docker", "tcp://", "tcp://h:0", "tcp://h:65536", "tcp://h:12x", "tcp://h/path", "tcp://u@h", "tcp://h:1:2",
                           "tcp://[::1", "tcp://a b", "tcp://::1", "unix://relative", "http://h"}) {
    const Error error = refused(host);
    EXPECT_EQ(error.code, ErrorCode::invalid_input);
    EXPECT_NE(error.what.find(std::string(host).starts_with("unix") ? "must be absolute" : "expected"), std::string::npos) << error.what;
  }
  EXPECT_NE(refused("ssh://user@host").what.find("forward the socket (ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST)"),
            std::string::npos);
  EXPECT_NE(refused("unix:///" + std::string(120, 'x')).what.find("at most 107 bytes"), std::string::npos);
  EXPECT_EQ(refused("tcp://\x1b[31m").what.find('\x1b'), std::string::npos);
}

TEST_F(Endpoint, tls_wants_its_authority_and_both_of_a_certificate_and_its_key) {
  const std::string directory = top_;
  EXPECT_NE(
      refused("tcp://h", true, directory).what.find("wants the daemon's authority in '" + directory + "/ca.pem': set DOCKER_CERT_PATH"),
      std::string::npos);
  std::ofstream(top_ / "ca.pem") << "x";
  auto parsed = parse_docker_host("tcp://h", true, directory);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->kind, Kind::tls);
  EXPECT_EQ(parsed->port, 2376);
  EXPECT_EQ(parsed->certificate, "");
  std::ofstream(top_ / "key.pem") << "x";
  EXPECT_NE(refused("tcp://h", true, directory).what.find("has no cert.pem beside key.pem"), std::string::npos);
  std::ofstream(top_ / "cert.pem") << "x";
  ::setenv("DOCKER_CONFIG", directory.c_str(), 1);
  parsed = parse_docker_host("tcp://h", true, "");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->certificate, directory + "/cert.pem");
  EXPECT_EQ(parsed->origin, "tcp://h:2376 (DOCKER_HOST, TLS)");
}

TEST_F(Endpoint, without_docker_host_it_is_the_first_socket_that_is_there) {
  if (fs::exists("/var/run/docker.sock") || fs::exists("/run/podman/podman.sock")) GTEST_SKIP() << "this machine has a daemon of its own";
  auto found = docker_endpoint();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::not_found);
  EXPECT_EQ(found.error().where, "docker daemon");
  EXPECT_NE(found.error().what.find("systemctl start docker"), std::string::npos);
  ::setenv("XDG_RUNTIME_DIR", top_.c_str(), 1);
  EXPECT_FALSE(docker_endpoint());
  fs::create_directory(top_ / "podman");
  const UniqueFd podman = listen(top_ / "podman/podman.sock");
  EXPECT_EQ(docker_endpoint()->path, (top_ / "podman/podman.sock").string());
  std::ofstream(top_ / "docker.sock") << "no socket";
  EXPECT_EQ(docker_endpoint()->path, (top_ / "podman/podman.sock").string());
  fs::remove(top_ / "docker.sock");
  const UniqueFd docker = listen(top_ / "docker.sock");
  EXPECT_EQ(docker_endpoint()->path, (top_ / "docker.sock").string());
  ::setenv("DOCKER_HOST", "tcp://elsewhere:1", 1);
  EXPECT_EQ(docker_endpoint()->host, "elsewhere");
}

}  // namespace
}  // namespace casemate
