// command_layer: what a command changes in a root, kept as a layer over it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "casemate/outcome.h"
#include "casemate/result.h"
#include "image/file_layer.h"
#include "image/layer_spec.h"
#include "image/project_layers.h"
#include "image/root.h"

namespace casemate {

/// Runs the command on the root as it is, once, as its root user, with the image's environment and a network of its own that reaches out;
/// its changes are the layer. The key is made of the root's identity and the command: neither files of the host nor the network are part of
/// it. Where the host has no gateway for that network it runs without any; a note says so, and which files were left out (FIFOs, sockets,
/// devices). refused: it failed; the message has the last lines that it wrote. not_supported: image host, whose files nothing may change;
/// exhausted: it took more than 30 minutes, 4 GiB of memory, or disk.
Result<MadeLayer> make_command_layer(const Root& root, const CommandLayer& layer, const LayerContext& context, const std::string& label);

/// A layer that a job makes of what it changes of a root; for who has the job, the key and the judgement of its own.
struct ChangesLayer {
  std::string key;                 ///< 64 hex digits, of all that decides what comes out
  std::string label;               ///< begins every message
  std::string description;         ///< for `casemate cache`
  std::vector<std::string> below;  ///< the root's layers, topmost first (Job::root)
  /// Runs the job with Job::collect "/" and Job::collect_to `directory`, and says whether it went well.
  std::function<Result<JobResult>(const std::string& directory)> run;
  std::vector<std::string> leave_out;  ///< names at the top of the root that are no part of it: the job's own mount points
  /// Looks at the finished tree, fit to lie over `below`, before anybody else can; may be empty.
  std::function<Result<void>(const std::string& directory)> check;
};

/// Makes it once, whoever asks; `run` isn't called where the store has it. Entries get the modes that the job gave them, deleted ones
/// become whiteouts. exhausted: more changes than are collected. Nothing is kept unless all goes well.
Result<MadeLayer> make_changes_layer(const ChangesLayer& layer, Store& store, const Progress& progress);

}  // namespace casemate
