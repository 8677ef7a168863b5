// command_run: one command in a cell that stays, from its start to its end.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "cell/cell.h"
#include "engine/capture.h"
#include "engine/context.h"
#include "engine/disk_watch.h"
#include "engine/output_reader.h"
#include "engine/reactor.h"

namespace casemate {

/// Drives one command through the reactor: its output, deadline and limits. Its owner hears the cell, and tells when it has said something.
class CommandRun {
 public:
  using Clock = Reactor::Clock;

  /// `context` is the cell's job; both outlive this.
  CommandRun(Reactor& reactor, Cell& cell, const Job& context, ContextCommand command, JobListener& listener);
  ~CommandRun() { unwatch(); }
  CommandRun(const CommandRun&) = delete;
  CommandRun& operator=(const CommandRun&) = delete;

  /// Has the cell's init start it, with argv, env and cwd of `what`. An Error: nothing was started.
  Result<void> start(const Job& what);
  /// The cell has sent the end of a terminal.
  void take_terminal();
  void signal(int number);
  /// Ends its session of processes: the outcome will be `cancelled`. Once it has ended this is nothing any more.
  void cancel();
  /// The same, with `disk_limit`.
  void end_for_disk(DiskWatch::Problem problem);
  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool cancelled() const { return cancelled_; }
  [[nodiscard]] bool wants_changes() const { return command_.changes; }
  /// It did not end, so the cell had to.
  [[nodiscard]] bool gave_up() const { return gave_up_; }

  /// It has ended, or the cell has, for the reason `lost`: how it went.
  JobResult finish(CellReport& report, const std::string& lost);
  /// What its services may still write to; empty ends for a terminal's, or where nobody does.
  [[nodiscard]] UniqueFd take_out() { return std::move(out_); }
  [[nodiscard]] UniqueFd take_err() { return std::move(err_); }

 private:
  Result<void> open_pipes(UniqueFd& out, UniqueFd& err);
  void end();
  void set_deadline();
  void watch_cpu();
  void type();
  void unwatch();
  [[nodiscard]] Outcome outcome(const CellReport& report, const std::string& lost) const;
  [[nodiscard]] Outcome setup_failure(const Message& failure) const;
  [[nodiscard]] Outcome cpu_timed_out() const;
  [[nodiscard]] std::uint64_t counted(std::optional<std::uint64_t> CgroupUsage::* what) const;
  [[nodiscard]] Resources resources(const CellReport& report, Clock::time_point ended) const;

  Reactor& reactor_;
  Cell& cell_;
  const Job& context_;
  ContextCommand command_;
  std::string cwd_;
  UniqueFd out_;
  UniqueFd err_;
  Capture capture_;
  JobListener& listener_;
  std::optional<OutputReader> output_;
  std::string typing_;  // into its terminal
  std::size_t typed_ = 0;
  CgroupUsage before_;
  CgroupUsage after_;
  Clock::time_point began_;
  std::optional<Reactor::TimerId> deadline_;
  std::optional<Reactor::TimerId> patience_;  // with a session that does not end
  std::optional<Reactor::TimerId> cpu_watch_;
  std::optional<Reactor::TimerId> typing_pause_;
  bool started_ = false;
  bool ended_ = false;
  bool cancelled_ = false;
  bool gave_up_ = false;
  bool timed_out_ = false;
  bool cpu_timed_out_ = false;
  DiskWatch::Problem disk_problem_;
};

}  // namespace casemate
