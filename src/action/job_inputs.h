// job_inputs: all that the result of a job on this machine depends on, if it is deterministic: what `--cache` keeps results by.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "action/blob.h"
#include "action/input_directory.h"
#include "action/input_trees.h"
#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// The inputs of a job as values.
struct JobInputs {
  /// A tree of files at a place in the cell.
  struct Placed {
    std::string place;  ///< absolute; "" is the root of an image
    InputDirectoryPtr tree;
  };
  /// What is no file, by names that each are there once: {"argument 1", "-c"}, {"variable LANG", "C"}, {"limit memory", "536870912"}.
  std::vector<std::pair<std::string, std::string>> words;
  std::vector<Placed> trees;
  std::vector<std::string> left_out;  ///< as InputTree::left_out
  BlobDigest action;                  ///< of an Action over all of it
};

/// Reads them. `more`: what else the result depends on, as words of names of their own. A job's name, where its files are delivered to, and
/// what the host calls the directories it shows don't count.
///
/// Of image `host` count: /etc by content, /usr/local and /opt by sizes and times, the rest of /usr by /etc/os-release and the package
/// manager's database (dpkg, rpm, apk, pacman; where there is none, all of /usr by sizes and times), other paths by content. So a file
/// that somebody puts into /usr by hand, past the package manager and not into /usr/local, is not noticed. What no job may depend on does
/// not count either: the kernel's version, the machine's hardware, times, what a network says.
///
/// not_supported names what keeps a job from being known by its inputs: stdin, and directories of the host that it may write to. Else as
/// InputTrees.
Result<JobInputs> inputs_of(const Job& job, InputTrees& trees, const std::vector<std::pair<std::string, std::string>>& more = {});

}  // namespace casemate
