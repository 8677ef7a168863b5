// Engine: runs jobs. The door for C++ programs; the command line uses it too.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

class Context;
class Executor;
class Reactor;

/// Gets a context, or why there is none.
using OpenedContext = std::function<void(Result<std::unique_ptr<Context>>)>;

/// What a caller hears while a job runs. Called in the thread that runs the engine; must not block for long.
struct JobListener {
  virtual ~JobListener() = default;
  /// The job has left the queue and has a slot.
  virtual void started() {}
  /// A piece of output as it arrives; raw, hostile bytes: make them safe before they reach a terminal (base/terminal.h).
  virtual void output(Stream /*stream*/, std::string_view /*bytes*/) {}
  /// What a job says on its report channel, where it has one (Job::report, tests that fork from a warm parent): raw, hostile bytes.
  virtual void report(std::string_view /*bytes*/) {}
  /// Bytes that output() took but could not pass on yet. While there are more than 1 MiB of them the job's pipes are not read, so a job
  /// that writes faster than its reader reads waits in write(2), as in a shell's pipe; its limits go on counting. May try again to pass
  /// them on.
  virtual std::size_t backlog() { return 0; }
  /// False when nobody will ever read this stream again: its pipe is closed, and a job that goes on writing gets SIGPIPE or EPIPE, as in a
  /// shell's pipe.
  virtual bool wants(Stream /*stream*/) { return true; }
  /// The job's last word. Called exactly once a submitted job, unless that was refused().
  virtual void finished(JobResult /*result*/) {}  // NOLINT(performance-unnecessary-value-param): theirs to keep
  /// Instead of finished(), for who wants to know: the submitted job makes no sense or this host can't run any, and nothing was started.
  /// By itself it calls finished() with the outcome `setup failed`.
  virtual void refused(const Error& error);
};

/// How an engine is made; the defaults are those of the command line.
struct EngineOptions {
  std::string executor = "native";  ///< "native"; "docker" and "remote" come with later issues
  std::size_t slots = 0;            ///< jobs at a time; 0: the number of CPUs this process may use
};

/// Runs jobs, `slots` at a time. Not safe for use from several threads at once. The destructor ends what still runs and leaves no
/// process, mount, cgroup or temp file behind; it calls no listener: who wants each finished() calls cancel_all() and run_until_idle()
/// before. What a killed engine left, the next one sweeps when it is made.
class Engine {
 public:
  /// Fails with not_supported where this host can't make cells at all (the message says which sysctl or privilege is missing).
  static Result<std::unique_ptr<Engine>> create(EngineOptions options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Runs one job to its end. An Error means that nothing was run (invalid job); a set-up that fails is an Outcome.
  Result<JobResult> run(Job job, JobListener* listener = nullptr);

  /// What keep() came to: how the job went (nullopt: it was kept before, nothing ran), and the job that goes on from there (nullopt: it
  /// failed).
  struct Kept {
    std::optional<JobResult> result;
    std::optional<Job> next;
  };
  /// Runs a job to its end and keeps what it changed of its root, where the job's executor can do that (Executor::keep; not_supported).
  Result<Kept> keep(Job job, std::string key, JobListener* listener = nullptr);

  /// Queues a job; `listener` must live until its finished() or the engine's end. Jobs start in the order of submission as slots get free.
  Result<void> submit(Job job, JobListener& listener);
  /// Adds an executor, for jobs whose Job::executor is `name`. `slots`: how many of its jobs run at a time, beside those of others; 0: it
  /// shares the engine's. `make` gets the engine's event loop.
  Result<void> add_executor(const std::string& name, const std::function<Result<std::unique_ptr<Executor>>(Reactor&)>& make,
                            std::size_t slots = 0);
  /// Makes a context of `job` (engine/context.h) with the executor that it names. `opened` is called later, while the engine runs; an Error
  /// at once means that the job makes no sense or the executor has no contexts. Contexts take no slots, and the engine does not wait for
  /// them: keep it running with turn(). They end with the engine; cancel_all() ends the commands that run in them.
  Result<void> open_context(Job job, OpenedContext opened);
  /// Calls `due` every `interval` while the engine runs, for displays that move.
  void every(std::chrono::milliseconds interval, std::function<void()> due);
  /// Calls `ready` whenever `fd` (borrowed) is readable while the engine runs.
  Result<void> watch(int fd, std::function<void()> ready);
  void unwatch(int fd);

  /// Runs until all submitted jobs have finished; listeners may submit more meanwhile.
  Result<void> run_until_idle();
  /// Starts what has a slot, then waits for at most `most` until something happens, and deals with it: for who keeps an engine that has
  /// nothing to run (EngineThread).
  Result<void> turn(std::chrono::milliseconds most);
  /// Ends all jobs, running and queued, with outcome `cancelled`. Async-signal-unsafe: call it from a listener, or use stop_fd().
  void cancel_all();
  /// The same for the job that was submitted with this listener; nothing if there is none (it has ended). As cancel_all() for whence.
  void cancel(JobListener& listener);
  /// The same for what there is now: jobs that are submitted later run.
  void cancel_current();
  /// Passes a signal to the process groups of all running jobs; what it does to them is theirs to say. As cancel_all() for whence.
  void signal_all(int number);
  /// Ends what is queued and has not started, with outcome `cancelled`; what runs goes on, and more may be submitted.
  void cancel_queued();
  /// SIGINT, SIGTERM and SIGHUP, but for those that are ignored, from now on for the engine's life (signalfd; the signals get blocked, the
  /// destructor gives the old mask back; calling it again changes nothing). The first that arrives in run() or run_until_idle() goes to
  /// the running jobs, which have 10 s; a second one ends them at once. From the first on no queued job starts any more: they end as
  /// `cancelled`. run() asks nobody: look at cancelled_by_signal() before.
  Result<void> cancel_on_signals();
  /// The signal that cancelled, 0 if none.
  [[nodiscard]] int cancelled_by_signal() const;
  /// A second one came: nobody waits for anything any more.
  [[nodiscard]] bool cancelled_at_once() const;

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
