// process_watch: limits on a job's processes where no cgroup holds them, by looking at them often.
#pragma once

#include <chrono>
#include <cstdint>

#include <sys/types.h>

#include "casemate/job.h"
#include "witness/action_report.h"

namespace casemate {

/// What the processes below one of ours use, all together.
class ProcessWatch {
 public:
  using Clock = std::chrono::steady_clock;
  explicit ProcessWatch(const Limits& limits) : limits_(limits) {}
  /// Whether /proc is that of our pid namespace.
  [[nodiscard]] static bool sees_all();
  /// When look() has something to do again.
  [[nodiscard]] Clock::time_point next_look(Clock::time_point began) const;
  /// Which limit they are over; `nothing` too if it is not time to look yet.
  EndedFor look(Clock::time_point began, pid_t top);
  /// The same of what the job left behind, whatever the time.
  EndedFor last_look(pid_t top) { return counts() ? count(top) : EndedFor::nothing; }
  [[nodiscard]] std::uint64_t peak_memory() const { return peak_memory_; }
  [[nodiscard]] std::uint64_t peak_pids() const { return peak_pids_; }

 private:
  [[nodiscard]] bool counts() const { return limits_.memory_bytes || limits_.pids || limits_.cpu_time; }
  EndedFor count(pid_t top);

  Limits limits_;
  Clock::time_point next_{};
  std::uint64_t peak_memory_ = 0, peak_pids_ = 0;
};

}  // namespace casemate
