// interpreter: the Python programs of the host: which there are, and what a cell must see to run one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// A Python interpreter on the host.
struct Interpreter {
  std::string path;           ///< the real executable, absolute ("/usr/bin/python3.11", ".../versions/3.12.1/bin/python3.12")
  std::string version;        ///< "3.11.7"
  std::string prefix;         ///< sys.base_prefix: what a cell must see to run it
  std::string identity;       ///< version, build, ABI tag, path, size and mtime: part of an environment's key
  std::string site_packages;  ///< where a virtual environment of it keeps packages, relative ("lib/python3.11/site-packages")
};

/// Finds the interpreter for `--python-version` ("3.11", "3.11.7", "/path/to/python", "" = the python3 first on PATH). Follows pyenv shims
/// to the real program, and virtual environments to the interpreter they were made of. not_found says which versions there are;
/// not_supported is Python before 3.7. What an interpreter says of itself is asked once and kept in `cache_directory()/interpreters` by
/// path, mtime and size: later calls run no program.
Result<Interpreter> find_interpreter(std::string_view wanted);

/// The read-only binds that a cell needs beyond `visible` host paths to run this interpreter at the same path.
std::vector<Mount> interpreter_mounts(const Interpreter& interpreter, const std::vector<std::string>& visible);

/// True if `path` is one of `directories` or lies below one.
[[nodiscard]] bool lies_below(std::string_view path, const std::vector<std::string>& directories);

}  // namespace casemate
