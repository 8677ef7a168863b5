// runtime: the front end `casemate runtime` (= `cursus runtime`).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// Runs with the arguments after the command's name; gives the exit status: 0 passed, 1 failed, 2 usage or nothing could be run, 130
/// interrupted. `program` is "casemate runtime" or "cursus runtime".
int runtime_main(const std::vector<std::string>& arguments, std::string_view program);

}  // namespace casemate
