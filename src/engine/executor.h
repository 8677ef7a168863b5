// executor: who runs a job. Native (cells) today; Docker Engine and remote execution are others behind the same interface.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

class CgroupFactory;
class Reactor;
struct CellGround;

/// Runs jobs in the reactor's thread.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Starts a job; `listener` hears its output, and `done` gets the result, later, from the reactor. An Error means that the job makes no
  /// sense or the host can't run any: nothing was started. Set-up that fails on the way is an Outcome.
  virtual Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) = 0;
  /// Passes a signal to every running job.
  virtual void signal_all(int number) = 0;
  /// Ends every running job with outcome `cancelled`.
  virtual void cancel_all() = 0;
  /// There is nothing to do just now but `next` will come: make ready for jobs like it.
  virtual void expect(const Job& next) = 0;
};

/// Cells on this machine. Sweeps what killed engines left. `reactor` must outlive it.
Result<std::unique_ptr<Executor>> make_native_executor(Reactor& reactor);

/// What an executor of cells makes them on: this machine, as it is now.
CellGround lay_ground(CgroupFactory& cgroups);

/// The engine program's argument strings, which cells inherit and must not show (/proc/1/cmdline). Called once by main().
void set_host_arguments(char* first, std::size_t bytes);

}  // namespace casemate
