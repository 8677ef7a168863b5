// context: a cell or container that stays, in which commands run one after the other: files, services and what a command changed are there
// for the next. Made by an executor (Executor::open).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

/// One command in a context. What the context's job says (image, mounts, user, network, memory, pids, disk) holds for all its commands
/// together; this is what each has of its own.
struct ContextCommand {
  std::vector<std::string> argv;           ///< as Job::argv
  std::map<std::string, std::string> env;  ///< over the context's
  std::string cwd;                         ///< absolute; "": the context's
  std::string input;                       ///< what it reads from stdin, then end of file; with `terminal` what is typed
  bool terminal = false;  ///< stdin, stdout and stderr are one terminal of 24x80 (pty(7)), all output is Stream::out, and TERM is xterm
                          ///< unless `env` or the job's says
  std::optional<std::chrono::milliseconds> wall;  ///< from exec to the end of its main process
  std::optional<std::uint64_t> output_bytes;      ///< as Limits::output_bytes
  std::uint64_t capture_bytes = 16ull << 20;      ///< as Job::capture_bytes
  bool changes = true;                            ///< JobResult::changes has what it changed of the root
};

/// One living context. Used by the engine's thread alone. The destructor ends all that runs in it, waits for that, and removes it; nobody
/// hears anything any more.
class Context {
 public:
  virtual ~Context() = default;

  /// Starts a command; one at a time. `done` gets the result, later, from the reactor. Its main process's end is the command's end: what
  /// it left running stays (a service), and is named in `leftovers`. A limit on wall or output ends the command's session of processes
  /// (setsid(2)) and nothing else; a limit of the context's (memory, pids) that one command hits is that command's outcome. `lost`: the
  /// context itself has gone (removed from outside, its first process killed, out of disk), and alive() is false: nothing can be started
  /// any more; or what watched the command in there was killed. kExecutorGone is its step where no other context would do better. An Error
  /// means that nothing was started.
  virtual Result<void> start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) = 0;
  /// Passes a signal to the running command's processes.
  virtual void signal(int number) = 0;
  /// Ends the running command with outcome `cancelled`; the context stays.
  virtual void cancel() = 0;
  [[nodiscard]] virtual bool alive() const = 0;

  /// Copies files out: what was created or modified in the root since it was opened and lies at or below one of `paths` (absolute; "/":
  /// all), into the host directory `destination`, by the same rules and bounds as Job::collect_to, each at its path without the leading
  /// '/'. Not while a command runs.
  virtual void collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) = 0;
};

}  // namespace casemate
