// daemon_scratch: real daemons, one of each kind a test process at most, started when first asked for and ended with all that is theirs.
#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "../executors/conformance.h"
#include "../program.h"
#include "docker/api.h"
#include "docker/docker_executor.h"
#include "docker/endpoint.h"
#include "engine/reactor.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {

/// A daemon with directories, socket, pid, mount and (unless `on_host_network`) network namespaces of its own: with its first process all
/// that it has started ends, and nothing of its mounts and networks is left.
class Daemon {
 public:
  enum class Kind { docker, podman };
  struct Options {
    Kind kind = Kind::docker;
    bool on_host_network = false;
    std::vector<std::string> more;  ///< words for dockerd's command line
  };
  static std::unique_ptr<Daemon> start(const Options& options, std::string& why_not);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  [[nodiscard]] std::string socket() const { return (top_ / "s").string(); }
  [[nodiscard]] DockerEndpoint endpoint() const;
  [[nodiscard]] const fs::path& top() const { return top_; }
  [[nodiscard]] std::string log() const;
  /// A process within its namespaces, for nsenter(1): the daemon.
  [[nodiscard]] pid_t inside() const;
  /// Kills all of it, and waits until nothing of it runs any more.
  void stop();

 private:
  explicit Daemon(fs::path top) : top_(std::move(top)) {}
  fs::path top_;
  UniqueFd lock_;  // held while somebody lives who will remove `top_`
  std::optional<Program> program_;
};

/// The process's daemon of this kind; null and `why_not`: it can't be had here.
Daemon* shared_daemon(Daemon::Kind kind, std::string& why_not);

/// Registries at this port of 127.0.0.1 and the next 49 may speak plain http to the daemons.
inline constexpr int kFirstRegistryPort = 5600;

/// The name of an image that the shared daemon of this kind has: busybox in /bin, PATH=/bin.
inline constexpr const char* kSmallImage = "casemate-test/small:1";

/// A test with an event loop and a client of its own.
class DaemonTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Reactor::create();
    ASSERT_TRUE(made) << made.error().what;
    reactor_ = std::move(*made);
  }
  /// Makes `api_` for an endpoint, not negotiated.
  void use(const DockerEndpoint& endpoint) {
    auto made = DockerApi::create(*reactor_, endpoint);
    ASSERT_TRUE(made) << made.error().what;
    api_ = std::move(*made);
  }
  Result<DockerVersion> negotiate() {
    std::optional<Result<DockerVersion>> got;
    api_->negotiate([&got](Result<DockerVersion> version) { got = std::move(version); });
    turn_until([&got] { return got.has_value(); });
    if (!got) return fail(ErrorCode::internal, "no answer to negotiate()");
    return std::move(*got);
  }
  Result<DockerReply> ask(DockerRequest request) { return call_and_wait(*api_, *reactor_, std::move(request)); }
  Result<DockerReply> ask(const std::string& method, const std::string& path, const std::string& body = "") {
    DockerRequest request;
    request.method = method;
    request.path = path;
    request.body = body;
    return ask(std::move(request));
  }
  /// Turns the loop until `done` says so, a minute at most.
  template <class Done>
  void turn_until(Done done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done() && std::chrono::steady_clock::now() < end) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(50)));
    EXPECT_TRUE(done()) << "nothing happened for a minute";
  }

  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<DockerApi> api_;
};

/// The same with each shared daemon in turn, negotiated, with kSmallImage.
class EachDaemon : public DaemonTest, public testing::WithParamInterface<Daemon::Kind> {
 protected:
  void SetUp() override;
  [[nodiscard]] bool is_podman() const { return GetParam() == Daemon::Kind::podman; }
  /// Into the daemon that `api_` talks to.
  void import_small_image();
  /// A container of kSmallImage that runs this shell line; `more` are members of the body ("\"Tty\":true,"). Its id, "" on failure.
  std::string create(const std::string& line, const std::string& more = "");
  void remove(const std::string& id) { ask("DELETE", "/containers/" + id + "?force=1&v=1"); }

  Daemon* daemon_ = nullptr;
};

/// Containers of a daemon as executor "docker" of an engine: it asks no registry, and has the witness of this build.
[[nodiscard]] DockerOptions docker_options(const Daemon& daemon);

std::string name_of_kind(const testing::TestParamInfo<Daemon::Kind>& info);
inline auto each_kind() { return testing::Values(Daemon::Kind::docker, Daemon::Kind::podman); }

}  // namespace casemate
