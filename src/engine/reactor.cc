#include "engine/reactor.h"

#include <algorithm>
#include <cerrno>

#include <sys/epoll.h>

namespace casemate {

Result<std::unique_ptr<Reactor>> Reactor::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("make an epoll instance");
  return std::unique_ptr<Reactor>(new Reactor(std::move(epoll)));
}

Result<void> Reactor::watch(int fd, std::function<void()> ready) {
  const std::uint32_t serial = ++serial_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<std::uint64_t>(serial) << 32 | static_cast<std::uint32_t>(fd);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return fail_errno("watch a descriptor");
  watched_[fd] = {serial, std::make_shared<std::function<void()>>(std::move(ready))};
  return {};
}

void Reactor::unwatch(int fd) {
  if (watched_.erase(fd) > 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Reactor::TimerId Reactor::schedule(Clock::time_point when, std::function<void()> due) {
  const TimerId id = next_timer_++;
  timers_.emplace(when, Timer{id, std::move(due)});
  return id;
}

void Reactor::cancel(TimerId timer) {
  const auto found = std::find_if(timers_.begin(), timers_.end(), [&](const auto& row) { return row.second.id == timer; });
  if (found != timers_.end()) timers_.erase(found);
}

void Reactor::run_due() {
  while (!timers_.empty() && timers_.begin()->first <= Clock::now()) {
    const auto due = std::move(timers_.begin()->second.due);
    timers_.erase(timers_.begin());
    due();
  }
}

Result<void> Reactor::turn(std::chrono::milliseconds most) {
  auto wait = most;
  if (!timers_.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
    wait = std::clamp(left, std::chrono::milliseconds(0), most);
  }
  epoll_event events[64];
  const int count = ::epoll_wait(epoll_.get(), events, 64, static_cast<int>(wait.count()));
  if (count < 0 && errno != EINTR) return fail_errno("wait for events");
  for (int i = 0; i < count; ++i) {
    const int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
    const auto found = watched_.find(fd);
    // The fd may have been closed and given to somebody else by a callback of this turn.
    if (found == watched_.end() || found->second.first != events[i].data.u64 >> 32) continue;
    const auto callback = found->second.second;
    (*callback)();
  }
  run_due();
  return {};
}

}  // namespace casemate
