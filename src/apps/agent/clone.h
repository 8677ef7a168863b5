// clone: the student's repository, fetched by git in a cell into a directory of the host. What is in it then is hostile, and is only ever
// shown to other cells.
#pragma once

#include <string>

#include "apps/agent/git_cell.h"
#include "casemate/job.h"
#include "casemate/result.h"
#include "image/installer.h"

namespace casemate {

/// What to clone.
struct CloneRequest {
  GitSource source;
  std::string branch;     ///< or a tag; "": what the repository's HEAD names
  std::string directory;  ///< of the host; exists, empty, on no path that others may write to
  Network network = Network::outbound;
};

/// The job that makes a clone of depth one, with submodules, of one branch.
[[nodiscard]] Job clone_job(const CloneRequest& request, bool shallow = true);

/// What `first`, the result of clone_job(), came to. Where the server does not serve shallow clones, or a submodule's commit can't be had
/// without its history, clones all of it by `run`. refused: git's own words, one paragraph; also an empty repository.
Result<void> finish_clone(const CloneRequest& request, const JobResult& first, const RunJob& run);

}  // namespace casemate
