// fresh_interpreters: tests, and reports, that no fork of a warm parent is for: each has an interpreter and an ordinary cell of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/result.h"
#include "cell/ground.h"
#include "engine/cell_run.h"
#include "engine/reactor.h"
#include "sys/fd.h"
#include "warm/parent.h"

namespace casemate {

/// Those that run. Each is a job as any other, but for what it is told and tells. For the thread of the reactor; who owns this owns what it
/// is made of, and keeps it longer.
class FreshInterpreters {
 public:
  /// `python` and `native` are what an interpreter is told to run (payload.h), open before the first one starts.
  FreshInterpreters(Reactor& reactor, CellGround& ground, const UniqueFd& python, const UniqueFd& native)
      : reactor_(reactor), ground_(ground), python_(python), native_(native) {}

  /// One that collects `file` and runs tests of it. `job` is the whole job, its mounts' sources real paths, its argv the interpreter's.
  Result<void> start_cold(Job job, const std::string& file, const std::vector<std::string>& ids, JobListener& listener,
                          std::function<void(JobResult)> done);
  /// One that has nothing to collect, and reports the coverage in the file `data`; `failed` tests were.
  Result<void> start_coverage(Job job, unsigned long failed, int data, JobListener& listener, std::function<void(JobResult)> done);

  void cancel_all();
  /// Those whose output it hears.
  void cancel(const JobListener& listener);
  /// Kills them; nobody is told.
  void clear() { running_.clear(); }

 private:
  struct Cold {
    std::unique_ptr<CellRun> run;
    ParentControl control;
  };
  Result<void> start(Job job, const std::string& message, int file, JobListener& listener, std::function<void(JobResult)> done);

  Reactor& reactor_;
  CellGround& ground_;
  const UniqueFd& python_;
  const UniqueFd& native_;
  std::unordered_map<CellRun*, std::unique_ptr<Cold>> running_;
};

}  // namespace casemate
