// init: what the kinds of cells' first processes have in common. Obeys the rules of child.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/types.h>

#include "cell/child.h"
#include "cell/command.h"

namespace casemate {

inline constexpr int kMostLeftovers = 16;    ///< are named
inline constexpr int kWatchIntervalMs = 20;  ///< between two looks of the watchdog

/// Tells the engine that a step failed, and ends the process.
[[noreturn]] void fail_with(const ChildContext& context, std::uint32_t phase, std::size_t step, int problem);

/// Maps the command in a memfd; nullptr if it can't.
CommandBlock* map_command(int fd);

/// Starts the job's process in init's own memory, as vfork does, on a stack of its own: init waits until it has exec'd or ended, so no page
/// tables are copied and no page twice. The wait ends with init's death (it is killable), so the engine still ends both at any time.
/// Credentials, file descriptors, signal mask, limits and filter are the process's own; memory is not dumpable, so nobody in the cell can
/// look at it meanwhile. -1 with errno.
pid_t start_job(ChildContext& context);

/// True if every process that init knew of has ended and was reaped: every process of the cell descends from one of its children.
bool no_children();

/// Tells the engine of a process that is still there: its id and name. False for one that has gone or is a zombie.
bool report_leftover(const ChildContext& context, int proc, int pid);

/// True if the root, a tmpfs of the job or an overlay (which answers for its upper layer) has no room left.
bool any_layer_full(const Plan& plan);

/// The life of the first process of a cell that serves commands (Plan::serves_commands), one after the other, until the engine closes its
/// socket. What a command leaves running stays.
[[noreturn]] void serve_commands(ChildContext& context);

}  // namespace casemate
