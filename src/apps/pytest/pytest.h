// pytest: the front end `casemate pytest` (= `maelstrom-pytest`).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// Runs with the arguments after the command's name; gives the exit status. `program` is "casemate pytest" or "maelstrom-pytest".
int pytest_main(const std::vector<std::string>& arguments, std::string_view program);

}  // namespace casemate
