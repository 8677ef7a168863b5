// block: a user and a pid namespace in which cells are made that forks of a running process can enter. A fork can't enter a cell that has a
// user namespace of its own (setns(2): CAP_SYS_ADMIN over the target's owner), nor a pid namespace that is not below its own. So the
// process that forks lives in a cell of the block that has no pid namespace of its own, and the forks' cells have theirs below it. See
// docs/design/warm.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "cell/ground.h"
#include "cell/host.h"
#include "cell/message.h"
#include "cell/plan.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {

/// What a block is made of, compiled beforehand: its init is a copy of the engine's memory and can be told nothing new but numbers.
struct BlockPlan {
  /// What the block's cells are for.
  enum Kind : std::uint32_t {
    parent,  ///< runs a command, whose forks enter the others
    fork,    ///< waits for a fork
  };
  Plan ground;              ///< by the block's init: all trees of the host that any cell shows, attached at numbered places
  std::string ground_root;  ///< the host's directory that lies below them
  Plan cells[2];
  Limits limits[2];
};

/// Compiles both kinds of cells. Pure, as compile(). The jobs differ in what they may use, not in what they show: the parent's job runs a
/// command; of the forks' only what makes its cell counts. invalid_input as compile(), and for a strict profile (its jobs have a user
/// namespace of their own).
Result<BlockPlan> compile_block(const Job& parent, const Job& fork, const HostFacts& host);

/// A cell's first process, made by a block.
struct MadeInit {
  pid_t pid = 0;  ///< in the block's pid namespace
  UniqueFd pidfd;
};

/// One block. The destructor ends all its cells, and waits until they have gone.
class CellBlock {
 public:
  /// Makes it; waits until its ground is laid.
  static Result<std::unique_ptr<CellBlock>> create(CellGround& ground, BlockPlan plan);
  CellBlock(const CellBlock&) = delete;
  CellBlock& operator=(const CellBlock&) = delete;
  ~CellBlock() = default;

  [[nodiscard]] const Plan& plan(BlockPlan::Kind kind) const { return plan_.cells[kind]; }
  /// What its cgroup has to hold, and what fell back (for the ground: with the forks').
  [[nodiscard]] const HeldLimits& held(BlockPlan::Kind kind) const { return held_[kind]; }
  /// Makes the first process of a cell and waits for it (0.2 ms). `fds`: its socket; for the parent's kind also stdin, stdout, stderr;
  /// for a fork's a network namespace, if it shall not make one.
  Result<MadeInit> make(BlockPlan::Kind kind, const std::vector<int>& fds);
  /// A tree of the host for a cell that is there already, as open_sources(): opened here, or by the block's init where only that may.
  /// `directory` says what it is. What can't be idmapped is told in `notes`.
  Result<UniqueFd> open(CellGround& ground, const Source& source, bool& directory, std::vector<std::string>& notes);
  /// Readable when the block has ended.
  [[nodiscard]] int pidfd() const { return process_.pidfd(); }

 private:
  explicit CellBlock(BlockPlan plan) : plan_(std::move(plan)) {}
  Result<void> await_ground(CellGround& ground);
  struct Answer {
    Message message{};
    UniqueFd fd;
  };
  Result<Answer> ask(const Message& wanted, const std::vector<int>& fds);

  BlockPlan plan_;
  HeldLimits held_[2];
  ChildProcess process_;
  UniqueFd socket_;
};

/// What the block's init is given before it is cloned.
struct BlockContext {
  const BlockPlan* plan = nullptr;
  const HeldLimits* held = nullptr;  ///< of both kinds
  int socket = -1;
  const std::vector<UniqueFd>* sources = nullptr;
  char* host_argv = nullptr;
  std::size_t host_argv_bytes = 0;
};

/// The life of a block's first process: lays the ground, then makes cells until the engine closes its socket. Obeys the rules of child.h.
[[noreturn]] void block_main(const BlockContext& context);

}  // namespace casemate
