// casemate history: what was run, how it ended, how long it took.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// `casemate history [show ID | prune | tests | runs]`, `arguments` without "history". Exit code: 0, 1 no such id, project or test, 125
/// wrong usage or a failure of ours.
int history_main(const std::vector<std::string>& arguments);

}  // namespace casemate
