// cell_context: a context that is a cell: one that stays, whose init serves commands.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cell/cell.h"
#include "engine/change_history.h"
#include "engine/command_run.h"
#include "engine/context.h"
#include "engine/discarded_output.h"
#include "engine/disk_watch.h"
#include "engine/gateway.h"
#include "engine/reactor.h"
#include "engine/side_work.h"

namespace casemate {

/// Drives one such cell through the reactor, from the time that it is made.
class CellContext final : public Context {
 public:
  /// It can be used from here; or it can't, and this is why. It may be destroyed from here on, within this too.
  using Ready = std::function<void(CellContext&, Result<void>)>;
  /// It is being destroyed.
  using Gone = std::function<void(CellContext&)>;

  /// Makes the cell and waits, in the reactor, until its init serves commands. What is told of changes is of the root of an image,
  /// and of overlays. Errors as Cell::create() and compile().
  static Result<std::unique_ptr<CellContext>> create(Reactor& reactor, CellGround& ground, Job job, Ready ready, Gone gone);
  ~CellContext() override;

  Result<void> start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) override;
  void signal(int number) override;
  void cancel() override;
  [[nodiscard]] bool alive() const override { return end_.empty(); }
  void collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) override;

  /// The engine ends: so does all in it, and nobody hears anything any more. Only the destructor may follow.
  void abandon();
  /// The engine's user wants no more of it: the command that runs is cancelled, one that is not ready yet ends.
  void give_up();

 private:
  CellContext(Reactor& reactor, const CellGround& ground, Job job, Ready ready, Gone gone);
  Result<void> watch();
  Result<void> watch_disk();
  void on_disk();
  void messages();
  void open_gateway();
  void become_ready();
  void kill(std::string why);
  void died();
  void drop_watches();
  Result<void> launch();
  void launch_late();
  void command_ended();
  void walk(bool before);
  void walked(bool before);
  void complete();
  void look_for_changes(bool keep, const std::stop_token& stop);
  [[nodiscard]] Job job_of(const ContextCommand& command) const;
  Result<void> copy_out(const std::vector<std::string>& places, const std::string& destination);
  void copy_layer(std::size_t layer, std::vector<std::string> within, const std::string& destination, const std::stop_token& stop);

  Reactor& reactor_;
  const CellGround& ground_;
  Job job_;
  Ready ready_;  // once
  Gone gone_;
  std::unique_ptr<Cell> cell_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<DiskWatch> disk_watch_;
  DiscardedOutput discarded_;
  std::vector<ChangeHistory> layers_;
  std::vector<SeenTree> untouched_;  // the layers before any command
  bool stale_ = false;               // a command whose changes nobody wanted has run since the last walk
  CellReport report_;
  std::string killed_for_;
  std::string end_;  // why it is not alive
  std::optional<Reactor::TimerId> deadline_;

  std::unique_ptr<CommandRun> command_;
  std::optional<Job> next_;  // what command_ will start
  std::function<void(JobResult)> done_;
  std::function<void(Result<JobResult>)> copied_;
  std::shared_ptr<void> living_ = std::make_shared<char>();  // what the reactor has of us looks whether we are still there
  JobResult result_;
  std::unique_ptr<SideWork> side_;  // last: it uses all of the above
};

}  // namespace casemate
