// casemate show: the last run of tests in a project again: its failures and summary on the screen, its reports as files.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// `casemate show [DIRECTORY]`, `arguments` without "show". Exit code: 0, 1 no run is kept, 125 wrong usage or a failure of ours.
int show_main(const std::vector<std::string>& arguments);

}  // namespace casemate
