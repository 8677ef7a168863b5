// reactor: one epoll loop for fds and deadlines. Everything of an engine happens in the thread that runs it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Calls back when fds are readable or deadlines pass. Callbacks may watch, unwatch and schedule freely.
class Reactor {
 public:
  using Clock = std::chrono::steady_clock;
  using TimerId = std::uint64_t;

  static Result<std::unique_ptr<Reactor>> create();
  /// Calls `ready` whenever `fd` is readable or hung up, until unwatch(). One watch an fd.
  Result<void> watch(int fd, std::function<void()> ready);
  void unwatch(int fd);
  /// Calls `due` once at `when`.
  TimerId schedule(Clock::time_point when, std::function<void()> due);
  void cancel(TimerId timer);
  /// Waits for at least one event or deadline (at most `most`) and calls back.
  Result<void> turn(std::chrono::milliseconds most);

 private:
  explicit Reactor(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  void run_due();

  struct Timer {
    TimerId id;
    std::function<void()> due;
  };
  UniqueFd epoll_;
  std::unordered_map<int, std::pair<std::uint32_t, std::shared_ptr<std::function<void()>>>> watched_;  // fd -> serial, callback
  std::uint32_t serial_ = 0;
  std::multimap<Clock::time_point, Timer> timers_;
  TimerId next_timer_ = 1;
};

}  // namespace casemate
