// hostile_server: who listens on a socket and does what no Docker Engine does.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>

#include "docker/endpoint.h"
#include "sys/fd.h"

namespace casemate {

/// One connection, as a script of the test sees it (in a thread of the server's).
class HostilePeer {
 public:
  HostilePeer(int fd, const std::atomic<bool>& over) : fd_(fd), over_(over) {}
  /// Reads until the empty line at the end of a request's head, which is returned; "" if the other end has gone.
  std::string read_head();
  /// Reads until the other end shuts its direction.
  std::string read_all();
  /// False: the other end takes no more.
  bool say(std::string_view bytes);
  /// Does nothing until the other end has gone or the test is over.
  void hang();

 private:
  int fd_;
  const std::atomic<bool>& over_;
};

/// Listens on a unix socket, or on 127.0.0.1, and runs `script` for each connection, which is closed when it returns.
class HostileServer {
 public:
  using Script = std::function<void(HostilePeer& peer)>;
  explicit HostileServer(Script script, bool tcp = false);
  ~HostileServer();
  HostileServer(const HostileServer&) = delete;
  HostileServer& operator=(const HostileServer&) = delete;

  [[nodiscard]] const DockerEndpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void serve();

  Script script_;
  DockerEndpoint endpoint_;
  std::string directory_;
  UniqueFd listening_;
  std::atomic<bool> over_ = false;
  std::atomic<int> connections_ = 0;
  std::list<std::thread> peers_;
  std::thread thread_;
};

/// A whole answer with a length.
std::string http_answer(int status, std::string_view body, std::string_view more_fields = "");

}  // namespace casemate
