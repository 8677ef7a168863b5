#include "docker/socket_events.h"

#include <sys/epoll.h>

namespace casemate {

Result<std::unique_ptr<SocketEvents>> SocketEvents::create(Reactor& reactor) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("make an epoll instance");
  std::unique_ptr<SocketEvents> made(new SocketEvents(reactor, std::move(epoll)));
  TRY(reactor.watch(made->epoll_.get(), [raw = made.get()] { raw->dispatch(); }));
  return made;
}

SocketEvents::~SocketEvents() { reactor_.unwatch(epoll_.get()); }

Result<void> SocketEvents::want(int fd, std::uint32_t events, Ready ready) {
  const auto found = watches_.find(fd);
  const std::uint32_t serial = ++serial_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(serial) << 32 | static_cast<std::uint32_t>(fd);
  // A socket that was closed without a word to us has left the epoll instance by itself, and its number may be another's by now.
  int result = ::epoll_ctl(epoll_.get(), found != watches_.end() ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (result < 0 && errno == ENOENT) result = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  if (result < 0) return fail_errno("watch a socket");
  watches_[fd] = {serial, std::make_shared<Ready>(std::move(ready))};
  return {};
}

void SocketEvents::drop(int fd) {
  if (watches_.erase(fd) > 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void SocketEvents::dispatch() {
  epoll_event events[64];
  const int count = ::epoll_wait(epoll_.get(), events, 64, 0);
  for (int i = 0; i < count; ++i) {
    const int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
    const auto found = watches_.find(fd);
    if (found == watches_.end() || found->second.serial != events[i].data.u64 >> 32) continue;
    const auto ready = found->second.ready;
    (*ready)(events[i].events);
  }
}

}  // namespace casemate
