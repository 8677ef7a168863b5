// explain: `casemate explain`, the kernel plan of a job, printed and not run.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// Takes the flags of `casemate run`. Prints text, or with --json one object. 0, or 125 for a job that could not be run here.
int explain_main(const std::vector<std::string>& arguments);

}  // namespace casemate
