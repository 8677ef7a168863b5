// hijack: a request after which the connection is no longer HTTP's (attach, exec start), and the stream that it becomes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "docker/api.h"
#include "docker/connection.h"
#include "docker/socket_events.h"
#include "engine/reactor.h"

namespace casemate {

/// The opening of one stream. Its destructor gives up, without a word.
class Hijack {
 public:
  using Done = std::function<void(Result<std::unique_ptr<DockerStream>>)>;

  /// `target` is the path with the version. `endpoint` must outlive it. `done` is called once, from the reactor; it may destroy this.
  static Result<std::unique_ptr<Hijack>> start(Reactor& reactor, std::shared_ptr<SocketEvents> sockets, const DockerEndpoint& endpoint,
                                               const DockerRequest& request, const std::string& target, Done done);
  ~Hijack();
  Hijack(const Hijack&) = delete;
  Hijack& operator=(const Hijack&) = delete;

 private:
  Hijack(Reactor& reactor, const DockerEndpoint& endpoint, const DockerRequest& request, Done done);
  void connected(CURLcode code);
  void progress();
  void send();
  void receive();
  void take_answer(bool ended);
  void restart_clock();
  void finish(Result<std::unique_ptr<DockerStream>> result);

  Reactor& reactor_;
  const DockerEndpoint& endpoint_;
  std::string doing_;
  std::chrono::milliseconds silence_;
  Done done_;
  std::unique_ptr<RawConnection> connection_;
  std::string out_;     // what is still to be sent
  std::string answer_;  // what has come
  Reactor::TimerId timer_ = 0;
};

}  // namespace casemate
