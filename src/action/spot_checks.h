// spot_checks: a few files of an action's input root, by which its witness sees whether what was sent is what is there.
#pragma once

#include <string>
#include <vector>

#include "action/input_directory.h"
#include "casemate/job.h"

namespace casemate {

/// One file, by the path under which the job has it.
struct SpotCheck {
  std::string path;
  InputDirectory::File file;
};

/// The program of the job first, if it is in `root`, and up to three files of each directory right below it and right below its /usr:
/// enough that a directory of another system in place of one of them is seen. Without those that workers may well have their own of: /etc,
/// /run, /tmp, /var and what is no file. The same root and job give the same files.
[[nodiscard]] std::vector<SpotCheck> spot_checks(const InputDirectoryPtr& root, const Job& job);

}  // namespace casemate
