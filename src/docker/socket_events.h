// socket_events: sockets that wait for more than the engine's event loop knows of (to be writable), in an epoll instance of their own,
// which that loop watches.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "casemate/result.h"
#include "engine/reactor.h"
#include "sys/fd.h"

namespace casemate {

/// Calls back when sockets are ready. Callbacks may ask for, change and drop any socket.
class SocketEvents {
 public:
  /// EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP of epoll_ctl(2).
  using Ready = std::function<void(std::uint32_t events)>;

  /// `reactor` must outlive it.
  static Result<std::unique_ptr<SocketEvents>> create(Reactor& reactor);
  ~SocketEvents();
  SocketEvents(const SocketEvents&) = delete;
  SocketEvents& operator=(const SocketEvents&) = delete;

  /// Calls `ready` whenever one of `events` is so (level-triggered), instead of what was asked of this fd before.
  Result<void> want(int fd, std::uint32_t events, Ready ready);
  void drop(int fd);

 private:
  SocketEvents(Reactor& reactor, UniqueFd epoll) : reactor_(reactor), epoll_(std::move(epoll)) {}
  void dispatch();

  struct Watch {
    std::uint32_t serial = 0;
    std::shared_ptr<Ready> ready;
  };
  Reactor& reactor_;
  UniqueFd epoll_;
  std::unordered_map<int, Watch> watches_;
  std::uint32_t serial_ = 0;
};

}  // namespace casemate
