// cell_run: one job in its cell, from the moment it has one until all about it is known: deadlines, output, how it ended, what it changed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "cell/cell.h"
#include "engine/capture.h"
#include "engine/disk_watch.h"
#include "engine/gateway.h"
#include "engine/output_reader.h"
#include "engine/reactor.h"

namespace casemate {

/// Drives one cell through the reactor. Its owner keeps it until `done` was called, and may destroy it from there on, but not within it.
class CellRun {
 public:
  using Clock = Reactor::Clock;
  using Done = std::function<void(CellRun&, JobResult)>;

  /// `plan` is the cell's, for what is collected. Opens the destination of changed files now: later the job may be able to write where it
  /// lies, and put a link to anywhere in its place.
  static Result<std::unique_ptr<CellRun>> create(Reactor& reactor, const CellGround& ground, Job job, const Plan& plan,
                                                 JobListener& listener, Done done);
  ~CellRun() { unwatch(); }
  CellRun(const CellRun&) = delete;
  CellRun& operator=(const CellRun&) = delete;

  /// Takes the cell and starts the job in it. An Error: nothing runs, `done` will not be called.
  /// `inherited` as Cell::start().
  Result<void> begin(std::unique_ptr<Cell> cell, const std::vector<int>& inherited = {});
  /// The same for a cell of a block: `ready` is called once when a fork may enter; that is told by forked().
  Result<void> await(std::unique_ptr<Cell> cell, std::function<void(CellRun&)> ready);
  /// What await()'s cell shows to its fork alone, at its places before `ready`: sends it to the cell once that is there.
  using Attach = std::function<Result<void>(Cell&)>;
  void attach_first(Attach attach) { attach_ = std::move(attach); }
  /// Who takes the cell when all in it is dead, with what it reported and used: it, or parts of it, may serve again.
  using Taker = std::function<void(std::unique_ptr<Cell>, const CellReport&, const CgroupUsage&)>;
  void at_the_end(Taker taker) { last_ = std::move(taker); }
  /// A fork is on its way into the cell: from here the job's clock runs.
  void forked();
  /// The fork has ended and was reaped; `end` is what it used.
  void fork_ended(int wait_status, const ProcessEnd& end);
  /// The job can't go on, for this reason: all of the cell is ended.
  void give_up(Outcome outcome);

  /// To the job's process group; a collector is told to stop.
  void signal(int number);
  /// Ends it with outcome `cancelled`.
  void cancel();

  [[nodiscard]] bool is_heard_by(const JobListener& listener) const { return listener_ == &listener; }
  [[nodiscard]] const Job& job() const { return job_; }
  [[nodiscard]] Cell& cell() { return *cell_; }

 private:
  CellRun(Reactor& reactor, const CellGround& ground, Job job, JobListener& listener, Done done);
  Result<void> open_destinations(const Plan& plan);
  Result<void> watch_cell();
  void set_deadline();
  void watch_cpu();
  Result<void> watch_disk();
  void messages();
  [[nodiscard]] bool attached();
  Result<void> start_late();
  void open_gateway();
  bool take_report();
  void unwatch();
  void finish();
  void complete();
  bool collect_beside();
  void collect_changes(const std::stop_token& stop);
  [[nodiscard]] Outcome outcome(const ProcessEnd& end);
  [[nodiscard]] Outcome setup_failure(const Message& failure) const;
  [[nodiscard]] Outcome out_of_memory() const;
  [[nodiscard]] Outcome cpu_timed_out() const;
  [[nodiscard]] bool layer_full();
  [[nodiscard]] Resources resources(const ProcessEnd& end, Clock::time_point ended) const;

  Reactor& reactor_;
  const CellGround& ground_;
  Job job_;
  JobListener* listener_;
  Done done_;
  std::function<void(CellRun&)> ready_;  // once
  Attach attach_;                        // once
  bool attaching_ = false;               // until init says that it has
  Taker last_;
  std::unique_ptr<Cell> cell_;
  std::unique_ptr<Gateway> gateway_;
  std::vector<UniqueFd> inherited_;  // by a job that waits for its network
  std::unique_ptr<DiskWatch> disk_watch_;
  Capture capture_;
  std::optional<OutputReader> output_;  // of the cell's ends
  CellReport report_;
  CgroupUsage usage_;
  std::optional<Reactor::TimerId> deadline_;
  std::optional<Reactor::TimerId> cpu_watch_;
  Clock::time_point began_ = Clock::now();
  bool for_fork_ = false;
  bool reports_ = false;  // it tells of tests on a pipe of its own
  bool started_ = false;
  bool cancelled_ = false;
  bool timed_out_ = false;
  bool setup_timed_out_ = false;
  std::optional<Outcome> given_up_;
  std::optional<ProcessEnd> fork_end_;
  std::string gateway_problem_;
  std::vector<UniqueFd> destinations_;  // of changed files, by the plan's collected index; empty: they are only listed
  DiskWatch::Problem disk_problem_;
  JobResult result_;
  UniqueFd collected_;      // an eventfd: the collector is done
  std::jthread collector_;  // last: it uses all of the above
};

}  // namespace casemate
