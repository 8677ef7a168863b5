// cell: one prepared container. Namespaces, root, cgroup and init of one job; used once, then destroyed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "cell/block.h"
#include "cell/ground.h"
#include "cell/message.h"
#include "cell/plan.h"
#include "sys/cgroup.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {

/// What init told the engine, or the executor found out.
struct CellReport {
  std::optional<int> wait_status;           ///< of the job's main process
  std::optional<Message> failure;           ///< a step that failed
  std::optional<std::uint32_t> over_limit;  ///< 0 memory, 1 CPU time
  std::vector<Leftover> leftovers;
  bool ready = false;
  bool mounted = false;            ///< what attach() sent is at its places
  bool network_untouched = false;  ///< another cell may have its network namespace
  bool untouched = false;          ///< the cell itself may serve again
  bool disk_full = false;          ///< the root, a tmpfs or an overlay had no room left when the job ended
  std::optional<ProcessEnd> used;  ///< of a command's main process, and of those that it waited for; how it ended is `wait_status`
};

/// One cell. The destructor kills everything inside, waits for it, and removes the cgroup.
class Cell {
 public:
  /// Clones init and lets it run the plan's steps; does not wait for them. `limits` beyond the plan: memory, pids, cpus by cgroup where
  /// there is a controller, otherwise by a watchdog in init and rlimits, noted in notes(). A bound that can be held by neither is
  /// not_supported. `stdin_fd` -1: /dev/null. With `job` its command is in init's memory from the start, else start() sends it.
  static Result<std::unique_ptr<Cell>> create(CellGround& ground, Plan plan, const Limits& limits, const Job* job = nullptr);
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  /// Makes a cell of a block. parent: start() comes later; fork: adopt(), when a fork is on its way.
  /// `network`, if any, is an untouched network namespace of the block's (untouched.h).
  static Result<std::unique_ptr<Cell>> create_in(CellBlock& block, BlockPlan::Kind kind, CellGround& ground, int network = -1);

  /// Starts the job's command; to be called once, at any time (init takes it when it is ready). a cell whose set-up has failed
  /// takes it too, and receive() tells the failure. `inherited`: at most kMostInherited fds, which the command gets as 3, 4, 5; only for a
  /// cell that was made without its job. `exhausted` if the message can't be sent.
  Result<void> start(const Job& job, const std::vector<int>& inherited = {});
  /// A cell that serves commands (Plan::serves_commands) and is ready: starts the next one, with argv, env and cwd of `command`; receive()
  /// says how it ends, and with what (wait_status comes last). `standard` are its stdin, stdout and stderr, borrowed; or none: it gets a
  /// terminal, whose other end will be terminal(). `exhausted` if the message can't be sent.
  Result<void> command(const Job& command, const std::vector<int>& standard);
  /// Ends all processes of the running command's session (setsid(2)); the cell stays. signal() is for these processes too.
  void end_command();
  /// What is typed goes in here, what it shows comes out: non-blocking; empty until it came.
  [[nodiscard]] UniqueFd& terminal() { return terminal_; }
  /// A cell for forks that is ready, and for one fork alone: shows these trees too (binds, at most kMostLateMounts; sources as
  /// resolve_sources() makes them). Its init mounts them and says so (CellReport::mounted), or at which it failed. invalid_input for what
  /// no cell can show.
  Result<void> attach(CellBlock& block, CellGround& ground, const std::vector<Mount>& mounts);
  /// It has something that no other fork may see.
  [[nodiscard]] bool attached() const { return attached_; }
  /// Their targets, by the number that a `failed` names.
  [[nodiscard]] const std::vector<std::string>& attachments() const { return attachments_; }
  /// A cell for forks: from here its init watches over what comes in.
  void adopt();
  /// All steps are done, and nothing has come in since (or it has left no trace).
  [[nodiscard]] bool ready() const { return ready_; }
  /// The fork has ended and has been reaped: init reports what it left, and ends.
  void finish(int wait_status);

  /// What a fork needs to come in. Empty fds: the cell has none of its own (the host's network), or it was not ready yet.
  struct ForkEntry {
    UniqueFd namespaces[kNamespaces];  ///< in the order of kNamespaceNames
    UniqueFd out, err, report;         ///< the writing ends
  };
  [[nodiscard]] ForkEntry& fork_entry() { return fork_; }
  /// Where a process that enters writes "0" first; borrowed.
  [[nodiscard]] const std::vector<int>& cgroup_entries() const { return entries_; }
  /// The network namespace, once it came; empty for the host's.
  [[nodiscard]] UniqueFd& own_network() { return own_network_; }
  /// What the fork reports.
  [[nodiscard]] UniqueFd& report() { return report_; }
  /// Makes its pipes as new for the next fork, which writes to the same: blocking, and of the size that pipes are made with. False if that
  /// can't be, or one of them is closed.
  [[nodiscard]] bool renew_pipes();
  /// Takes all messages that have come. False when init has closed its end.
  bool receive(CellReport& report);
  /// To the job's process group.
  void signal(int number);
  /// SIGKILL to all of the cell.
  void kill();
  /// It was: what its init said before it died of that is no promise any more.
  [[nodiscard]] bool killed() const { return killed_; }

  [[nodiscard]] ChildProcess& process() { return process_; }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] UniqueFd& out() { return out_; }
  [[nodiscard]] UniqueFd& err() { return err_; }
  [[nodiscard]] Cgroup* cgroup() { return cgroup_.get(); }
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// The writable layers that were handed out, by the plan's collected index; empty fds for those that did not come.
  [[nodiscard]] std::vector<UniqueFd>& uppers() { return uppers_; }
  /// Network and user namespace of the cell, for the gateway; empty until they came.
  [[nodiscard]] UniqueFd& network_namespace() { return network_namespace_; }
  [[nodiscard]] UniqueFd& user_namespace() { return user_namespace_; }

 private:
  Cell() = default;
  struct Doors {
    UniqueFd socket, out, err;
  };
  Result<Doors> make_doors();
  Result<void> prepare(const std::vector<int>& entries);
  [[nodiscard]] bool init_lives() const;
  Result<void> clone(CellGround& ground, const std::vector<UniqueFd>& sources, const Job* job);

  Plan plan_;
  std::vector<std::uint64_t> command_;  ///< packed and relocated, if known before clone
  std::unique_ptr<Cgroup> cgroup_;
  ChildProcess process_;
  UniqueFd socket_;
  UniqueFd out_;
  UniqueFd err_;
  UniqueFd terminal_;
  std::vector<UniqueFd> uppers_;
  UniqueFd network_namespace_;
  UniqueFd user_namespace_;
  std::vector<std::string> notes_;
  HeldLimits held_;
  bool killed_ = false;
  bool block_ = false;  // made in a block: not our child
  UniqueFd report_;
  ForkEntry fork_;
  UniqueFd own_network_;
  bool ready_ = false;
  bool attached_ = false;
  std::vector<std::string> attachments_;
  std::vector<int> entries_;
  UniqueFd entry_;
};

/// The shape of a cell: jobs with equal shapes can use each other's cells made ahead, for only argv and env differ.
struct CellShape {
  Plan plan;
  Limits limits;
  bool operator==(const CellShape&) const = default;
};

}  // namespace casemate
