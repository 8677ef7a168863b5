// curl_loop: a multi handle of libcurl (libcurl-multi(3)) in the engine's event loop.
#pragma once

#include <functional>
#include <memory>

#include "docker/socket_events.h"
#include "engine/reactor.h"
#include "net/curl_handles.h"

namespace casemate {

/// Drives the handles that are added to it, and says when each has come to its end. Not to be destroyed from within a callback of libcurl.
class CurlLoop {
 public:
  /// Called from the reactor; the handle is still added.
  using Ended = std::function<void(CURL* easy, CURLcode code)>;

  /// Both references must outlive it.
  static Result<std::unique_ptr<CurlLoop>> create(Reactor& reactor, SocketEvents& sockets, Ended ended);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  /// False within a callback of libcurl, which allows no add() and no remove() there.
  [[nodiscard]] bool may_change() const { return !inside_; }
  Result<void> add(CURL* easy);
  void remove(CURL* easy);

 private:
  CurlLoop(Reactor& reactor, SocketEvents& sockets, Ended ended) : reactor_(reactor), sockets_(sockets), ended_(std::move(ended)) {}
  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM* multi, long ms, void* self);
  void act(curl_socket_t socket, int events);

  Reactor& reactor_;
  SocketEvents& sockets_;
  Ended ended_;
  Reactor::TimerId timer_ = 0;
  bool inside_ = false;
  std::shared_ptr<bool> gone_ = std::make_shared<bool>(false);
  CurlMulti multi_;
};

}  // namespace casemate
