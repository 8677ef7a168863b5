// plan: `casemate plan`: test plans of command-line tools: run, recorded, verified, shown.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// Runs `casemate plan` with what follows these words; gives its exit status: 0 all passed, 1 some did not, 2 wrong usage or a plan that
/// can't be read, 125 casemate's own failure, 128+N ended by signal N.
int plan_main(const std::vector<std::string>& arguments);

}  // namespace casemate
