// changed_tree: what a job changed on a remote worker, put where an overlay's upper layer would have it.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "casemate/outcome.h"
#include "casemate/result.h"
#include "engine/collect.h"
#include "remote/engine.h"
#include "witness/action_report.h"

namespace casemate {

/// A place whose changes are wanted.
struct WantedChanges {
  std::vector<std::string> lower;  ///< what was there before the job: host directories, topmost first
  std::string destination;         ///< Job::collect_to, for messages
  int destination_fd = -1;         ///< as CollectOptions; borrowed
  std::string prefix;              ///< before each path in the result: "app/"
};

/// Fetches the contents of what `report` names from `contents` (the output directory .casemate/changes), and collects it as a cell's
/// changes are collected, into `result`: changes, changes_truncated, collect_error. `directory` is an empty one of ours.
void collect_changed(const std::vector<WantedChanges>& places, const ActionReport& report, const InputDirectoryPtr& contents,
                     const std::string& directory, RemoteEngine& engine, const std::stop_token& stop, JobResult& result);

}  // namespace casemate
