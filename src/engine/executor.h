// executor: who runs a job. Native (cells) today; Docker Engine and remote execution are others behind the same interface.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "engine/context.h"

namespace casemate {

class CgroupFactory;
class Reactor;
struct CellGround;

/// What Executor::keep() gives: how the job went (nothing ran: nullopt), and the job that goes on from there (nullopt: it failed).
using KeptRoot = std::function<void(std::optional<JobResult> result, std::optional<Job> next)>;

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
  /// Ends the running job with this listener with outcome `cancelled`, if there is one.
  virtual void cancel(const JobListener& listener) = 0;
  /// Makes a context of `job`: its root, mounts, user, network, environment and limits, not its command. `opened` is called later, from the
  /// reactor; an Error at once means that the job makes no sense here. not_supported by itself.
  virtual Result<void> open(Job job, OpenedContext opened);
  /// Runs the job and keeps what it changed of its root: `kept` gets its result and, if it ended well, a job that differs from it only in
  /// having these changes in its root. `key` names them: an executor that has kept the same before runs nothing (`result` is empty then).
  /// not_supported by itself: cells have layers for that (image/command_layer.h).
  virtual Result<void> keep(Job job, std::string key, JobListener& listener, KeptRoot kept);
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
