// signals: those that people end a program with.
#pragma once

#include <csignal>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// SIGINT, SIGTERM and SIGHUP, less what the caller has us ignore (nohup, a background job of a script): that is none of ours to take.
[[nodiscard]] sigset_t ending_signals();

/// A descriptor that is readable when one of these signals waits (signalfd(2)), which doesn't block; they should be blocked.
[[nodiscard]] Result<UniqueFd> open_signals(const sigset_t& signals);
/// The number of the next one; 0: none waits.
[[nodiscard]] int take_signal(int fd);

}  // namespace casemate
