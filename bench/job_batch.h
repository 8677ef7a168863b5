// job_batch: many jobs of one kind through an engine, for benchmarks; a job that does not succeed ends the program.
#pragma once

#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "casemate/engine.h"

namespace casemate {

[[noreturn]] inline void die(const std::string& why) {
  fmt::print(stderr, "bench: {}\n", why);
  std::exit(1);
}

/// Queues `count` jobs and runs until they are done.
inline void run_batch(Engine& engine, const Job& job, int count) {
  struct Counter : JobListener {
    int good = 0;
    std::string bad;
    void finished(JobResult result) override {
      if (result.outcome.succeeded())
        ++good;
      else
        bad = words(result.outcome) + " " + result.outcome.detail;
    }
  } counter;
  for (int i = 0; i < count; ++i) {
    if (auto taken = engine.submit(job, counter); !taken) die(taken.error().what);
  }
  if (auto idle = engine.run_until_idle(); !idle) die(idle.error().what);
  if (counter.good != count) die("a job ended as: " + counter.bad);
}

/// /bin/true with the limits of the command line.
inline Job trivial_job() {
  Job job;
  job.argv = {"/bin/true"};
  job.env = {{"PATH", "/usr/bin:/bin"}};
  job.limits = default_limits();
  return job;
}

}  // namespace casemate
