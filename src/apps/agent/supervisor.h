// supervisor: the agent's loop: asks for tasks, runs workers, has their results posted, and hears signals.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "apps/agent/courier.h"
#include "apps/agent/hindrance.h"
#include "apps/agent/log.h"
#include "apps/agent/metrics.h"
#include "apps/agent/outbox.h"
#include "apps/agent/posting.h"
#include "apps/agent/settings.h"
#include "apps/agent/task_directories.h"
#include "apps/agent/worker_process.h"

namespace casemate {

/// One run of the agent. Theory of operation: docs/design/agent.md.
class Supervisor {
 public:
  /// What it works with; all must outlive it. `signals` is a descriptor of open_signals(), for those of ending_signals() and SIGUSR1.
  struct Parts {
    const AgentSettings& settings;
    Log& log;
    Metrics& metrics;
    Outbox& outbox;
    const TaskDirectories& directories;
    Courier& courier;
    int signals;
  };
  explicit Supervisor(const Parts& parts);
  /// Until the agent is to end: its exit status as agent_main() has it. An Error is trouble with what is on its disk.
  Result<int> run();

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    OutboxEntry entry;
    WorkerProcess worker;
    Clock::time_point began;
    Clock::time_point deadline;
    bool killed = false;
    bool graded = false;  // its grade is in the outbox; the worker is busy for those after it
  };

  // A worker that only asks for the tests.
  struct Asking {
    WorkerProcess worker;
    Clock::time_point deadline;
  };

  // What shows that a hindrance is over: that a worker could be started, that its tests could begin, or that it came to a grade.
  enum class Proof { started, ready, graded };

  Result<void> sweep();
  Result<void> ask_for_tests();
  void hear_asking();
  Result<void> start_tasks();
  Result<void> start(OutboxEntry entry);
  Result<void> finish_unrun(OutboxEntry entry);
  [[nodiscard]] bool may_start() const;
  [[nodiscard]] WorkOrder order_for(const Task& task) const;
  Result<void> send_errand();
  [[nodiscard]] bool may_poll() const;
  [[nodiscard]] std::optional<int> exit_status();
  Result<void> wait();
  [[nodiscard]] int wait_ms() const;
  Result<void> hear_courier();
  Result<void> hear_task(const TaskAnswer& answer);
  void hear_failure(const BackendFailure& failure);
  Result<void> hear_workers();
  Result<void> hear_grades();
  Result<void> end(Running running);
  Result<void> blame_the_disk(OutboxEntry& entry);
  Result<void> finish(OutboxEntry entry, Grade grade, std::chrono::milliseconds took);
  Result<void> hold(OutboxEntry entry, const Grade& grade);
  void hinder(std::string_view waiting, const Grade& grade, const std::string& key, Proof proof);
  void go_on();
  void hear_signals();
  void stop(bool interrupt);
  void tell_status();
  void record(const OutboxEntry& entry, const Grade& grade, std::chrono::milliseconds took) const;
  void prune();

  const AgentSettings& settings_;
  Log& log_;
  Metrics& metrics_;
  Outbox& outbox_;
  const TaskDirectories& directories_;
  Courier& courier_;
  int signals_;
  Posting posting_;
  std::deque<OutboxEntry> queue_;               // taken, and not started
  std::map<std::int64_t, Running> running_;     // by number
  std::map<std::string, std::uint64_t> ended_;  // tasks by result
  std::minstd_rand random_{std::random_device{}()};
  std::uint32_t slots_;
  Clock::time_point next_poll_ = Clock::now();
  std::uint32_t failures_ = 0;  // of polls, in a row
  bool answered_ = false;       // a poll was, once
  std::string last_failure_;
  std::optional<Clock::time_point> failing_since_;
  std::string last_duplicate_;
  bool tests_there_ = false;  // they were asked for, and can be had
  bool asked_once_ = false;
  std::optional<Asking> asking_;
  Hindrance hindrance_;
  Proof proof_ = Proof::graded;
  std::optional<std::int64_t> probe_;                     // the one task that is run while there is a hindrance, to see whether it still is
  bool in_vain_ = false;                                  // --once: what there was to do can't be done now
  bool polled_out_ = false;                               // --once: no more
  std::optional<Clock::time_point> results_alone_since_;  // --once: only a result is left
  bool stopping_ = false;
  bool interrupted_ = false;  // the workers have been
  int status_ = 0;            // to exit with, once it stops
};

}  // namespace casemate
