// run: from a request to a report: stage the files, get the environment, run the script in a cell, judge how it ended.
#pragma once

#include <functional>

#include "apps/script/arguments.h"
#include "apps/script/console.h"
#include "apps/script/report.h"

namespace casemate {

/// Does all of it and never leaves half of it: whatever fails becomes the report. SIGINT and SIGTERM should be blocked (see Interrupts);
/// they end the run. Records the run in the history. `tell` gets the report, once, to print it; after that a new environment's modules are
/// compiled, from which later runs profit.
void run_script(const ScriptRequest& request, Console& console, const std::function<void(const ScriptReport&)>& tell);

/// Blocks SIGINT, SIGTERM and SIGHUP while it lives (less what is ignored), so that a run that is told to stop can still say so. Who wants
/// to know asks pending().
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  /// One of them that waits, 0 if none.
  [[nodiscard]] static int pending();
};

/// The report of a run that a signal ended.
[[nodiscard]] ScriptReport interrupted(int signal);

}  // namespace casemate
