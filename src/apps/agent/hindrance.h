// hindrance: what keeps tasks from being run though no student is to blame: since when, when it is looked at again, and what is said of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "apps/agent/settings.h"

namespace casemate {

/// Whoever was kept tells it so (`met`), waits until `next_try()`, and says when it is over. Starts nothing itself.
class Hindrance {
 public:
  using Clock = std::chrono::steady_clock;
  /// It was met (again). What is met before next_try() was begun before it was known, and makes nobody wait longer. Returns the level to
  /// log it at: `error`, but `debug` for the same words, digits aside, within ten minutes of when they were said. `jitter` in [0, 1): see
  /// backoff().
  LogLevel met(std::string what, Clock::time_point now, double jitter);
  /// Something ended that held what may be wanting: not later than 2 s from now.
  void hurry(Clock::time_point now);
  /// A task came through. How long it was there; nullopt: it was not.
  std::optional<Clock::duration> over(Clock::time_point now);
  [[nodiscard]] bool there() const { return since_.has_value(); }
  [[nodiscard]] Clock::time_point since() const { return since_.value_or(Clock::time_point{}); }
  /// 2 s after it was met first, doubling to 5 minutes, of which a random half is taken off; long ago where there is none.
  [[nodiscard]] Clock::time_point next_try() const { return next_; }
  /// Its last words.
  [[nodiscard]] const std::string& what() const { return what_; }

 private:
  std::optional<Clock::time_point> since_;
  Clock::time_point next_{};
  std::uint32_t times_ = 0;
  std::string what_;
  std::string said_;  // without digits; outlives it: what comes and goes is not said each time
  Clock::time_point said_at_{};
};

}  // namespace casemate
