// active_python: the interpreter that `python` means where casemate was started, as it is: with its virtual environment, wherever it lives.
#pragma once

#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// A host's interpreter with its packages.
struct ActivePython {
  std::string program;  ///< sys.executable: a virtual environment's own "/home/a/.venv/bin/python"
  std::string version;  ///< "3.11.7"
  /// Host directories that a cell must see to run it: prefixes, and what lies on sys.path (editable installs). Absolute, real or as named;
  /// none below another.
  std::vector<std::string> directories;
};

/// Asks the interpreter `wanted` (a path, or a name on PATH), or if "": $VIRTUAL_ENV's, $CONDA_PREFIX's, that of the virtual environment
/// that this program lies in, `python3` or `python` on PATH. Runs it once (tens of milliseconds), in `directory`, without what site files of
/// that directory could do. not_found: none; invalid_input: it doesn't run; not_supported: before Python 3.8.
Result<ActivePython> find_active_python(const std::string& wanted);

/// Read-only binds at the same places, for what image `host` does not show by itself and does not lie below `shown`.
std::vector<Mount> active_python_mounts(const ActivePython& python, const std::vector<std::string>& shown);

}  // namespace casemate
