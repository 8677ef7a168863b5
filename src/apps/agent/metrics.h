// metrics: what the agent counts, as Prometheus' text format 0.0.4, and the server that answers with it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// Counters since the agent's start, and gauges. Threads may share one.
class Metrics {
 public:
  /// A task that has a grade: "passed", "failed" or "error"; `took` from its start to its grade.
  void task_ended(std::string_view result, std::chrono::milliseconds took);
  void result_posted();
  void result_given_up();
  /// A task that was offered again and dropped.
  void duplicate_dropped();
  /// `kind`: "unreachable", "post_refused", ...
  void backend_failed(std::string_view kind);
  /// A task that was run in vain and waits, by no fault of its student's; `fault`: "tests", "host", ...
  void task_held(std::string_view fault);
  /// `kept`: no task can be run now, by no student's fault.
  void set_gauges(std::size_t running, std::size_t waiting_to_be_posted, std::size_t waiting_to_be_run, bool kept);
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::array<double, 12> kBounds = {0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800};  // seconds
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t, std::less<>> tasks_ = {{"error", 0}, {"failed", 0}, {"passed", 0}};
  std::map<std::string, std::uint64_t, std::less<>> failures_ = {{"unreachable", 0}};
  std::map<std::string, std::uint64_t, std::less<>> held_ = {{"host", 0}, {"tests", 0}, {"worker", 0}};
  std::array<std::uint64_t, kBounds.size() + 1> durations_{};
  double seconds_ = 0;
  std::uint64_t posted_ = 0;
  std::uint64_t given_up_ = 0;
  std::uint64_t duplicates_ = 0;
  std::size_t running_ = 0;
  std::size_t waiting_ = 0;
  std::size_t queued_ = 0;
  bool kept_ = false;
  std::int64_t started_ = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
};

/// Answers GET /metrics in threads of its own, for as long as it lives.
class MetricsServer {
 public:
  /// `address` as AgentSettings::metrics has it; port 0: any. `metrics` must outlive it. Fails with refused where it can't listen.
  static Result<MetricsServer> start(const std::string& address, const Metrics& metrics);
  MetricsServer(MetricsServer&&) noexcept;
  MetricsServer& operator=(MetricsServer&&) noexcept;
  ~MetricsServer();
  [[nodiscard]] int port() const;

 private:
  struct Parts;
  explicit MetricsServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
