// run: `casemate run`, one command in one cell.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// Runs `casemate run` with the arguments after "run"; the result is the program's exit status.
int run_main(const std::vector<std::string>& arguments);

}  // namespace casemate
