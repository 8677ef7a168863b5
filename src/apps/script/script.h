// script: `casemate script`, also py_test_runner: a Python script with its requirements and its files, run once in a fresh cell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// Runs the front end. `arguments` without the program's name; `program` is what to call ourselves: "casemate script" or "py_test_runner".
/// Gives the exit status: 0 only if the script succeeded and its files are saved, 1 for any failure, 2 for wrong usage, 130 after SIGINT,
/// 143 after SIGTERM. With --json-output stdout gets one object and nothing else, whatever happens. Never throws.
int script_main(const std::vector<std::string>& arguments, std::string_view program);

}  // namespace casemate
