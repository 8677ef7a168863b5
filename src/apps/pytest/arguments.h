// arguments: the command line of `casemate pytest` and of maelstrom-pytest, with pytest's own words in it, turned into a PytestRequest.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "session/request.h"

namespace casemate {

/// What parsing gave: a request, or text to print and an exit status (--help, --version, --print-config, a usage error).
struct ParsedPytest {
  PytestRequest request;  ///< with `stop` it does not count
  bool stop = false;
  int exit_status = 0;  ///< 2 for every kind of wrong usage or configuration
  std::string text;     ///< for stdout if exit_status is 0, else for stderr; with its last newline
};

/// What the caller has around it.
struct PytestSurroundings {
  std::string directory;                                            ///< the project, absolute: where the command runs
  std::function<const char*(const std::string& name)> environment;  ///< variables; nullptr: none of this name
};

/// Parses the words after the program's name (or `casemate pytest`), with what the environment and files say below them. `program` is for
/// the texts; "maelstrom-pytest" has that tool's short flags (-x EXPR, -s N), any other pytest's (-x, -s).
ParsedPytest parse_pytest(const std::vector<std::string>& arguments, std::string_view program, const PytestSurroundings& surroundings);

}  // namespace casemate
