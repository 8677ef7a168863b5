// remote_run: one job on a remote engine, from the first look at its files to what came of it, in a thread of its own.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "action/input_trees.h"
#include "action/job_action.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "remote/engine.h"
#include "remote/fetched_bytes.h"
#include "remote/sending_watch.h"
#include "remote/sent_blobs.h"
#include "store/store.h"
#include "sys/fd.h"
#include "witness/action_report.h"

namespace casemate {

/// What all jobs of an executor have in common. Used by their threads side by side.
struct RemoteGround {
  RemoteEngine& engine;
  SentBlobs& sent;
  SendingWatch& watch;
  InputTrees& trees;
  Store& store;
  std::mutex& store_mutex;
  ActionSetting setting;
  int priority = 0;
  std::optional<std::chrono::milliseconds> deadline;  ///< of an execution, the wait in a queue included
};

/// How a job ended, and what it wrote, before anybody was told.
struct RemoteEnding {
  JobResult result;  ///< without output
  std::vector<ActionReport::Turn> turns;
  FetchedBytes out, err, reports;
};

/// Runs the job to its end; blocks. `destinations`: of Job::collect, opened before (as ContainerRun has them). `stop` ends it as
/// `cancelled`.
RemoteEnding run_remote_job(const RemoteGround& ground, const Job& job, const std::vector<UniqueFd>& destinations, ExecutionListener& hears,
                            const std::stop_token& stop);

}  // namespace casemate
