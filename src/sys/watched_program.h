// watched_program: a host program that runs for long while somebody looks at what it does, and that ends with us whatever happens.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "sys/process.h"

namespace casemate {

/// A program and who watches it.
struct WatchedProgram {
  std::vector<std::string> argv;     ///< argv[0]: its path, with a slash
  std::vector<std::string> env;      ///< all of its environment, "NAME=value"
  std::string directory;             ///< its working directory; "": ours
  std::size_t out_limit = 64 << 10;  ///< bytes of stdout; more is an error
  std::chrono::milliseconds interval = std::chrono::milliseconds(100);
  std::function<Result<void>()> watch;  ///< called each interval; an error kills the program and is what run_watched() fails with
};

/// Runs it to its end in a process group of its own, with stdin from /dev/null and no descriptor of ours; stderr is kept to 64 KiB. The
/// program is killed with all of its group when the watch says so, and by the kernel when the calling thread ends (PR_SET_PDEATHSIG,
/// prctl(2)), so also when we are killed. What it started and left behind in its group is killed at its end. not_found: no such program.
Result<ProgramResult> run_watched(const WatchedProgram& program);

}  // namespace casemate
