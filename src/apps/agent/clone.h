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
  std::string credentials;  ///< file of --clone-credentials; "": none
};

/// The job that makes a clone of depth one, with submodules, of one branch. It says on stdout which commit that is. With credentials:
/// without submodules, which finish_clone() gets in a cell that has none, for it is the student who names them.
[[nodiscard]] Job clone_job(const CloneRequest& request, bool shallow = true);

/// What `first`, the result of clone_job(), came to. Where the server does not serve shallow clones, or a submodule's commit can't be had
/// without its history, clones all of it by `run`; gets submodules that are missing. The commit that was cloned, its whole hash. As
/// git_failure(); refused also: an empty repository, or one with nothing where its HEAD points.
Result<std::string> finish_clone(const CloneRequest& request, const JobResult& first, const RunJob& run);

}  // namespace casemate
