// image_interpreter: the Python of a root, asked in a cell on it.
#pragma once

#include <string_view>

#include "casemate/result.h"
#include "image/installer.h"
#include "image/interpreter.h"
#include "image/root.h"

namespace casemate {

/// As find_interpreter(wanted) for any root: the host's own there; else the image's, looked up in the PATH of its config: "" takes python3
/// or python, "3.11" must be what the image has, a path is one inside it. Asks by running the program in a cell without network, once an
/// image: the answer is kept by the root's identity (and, for dir:, by the state of the program's file). All that comes out is hostile text
/// and checked as such. not_found says which Python the image has, if any.
Result<Interpreter> find_interpreter(const Root& root, std::string_view wanted, const RunJob& run);

/// The PATH that programs of this root have: the image's, else a common one.
[[nodiscard]] std::string search_path(const Root& root);

/// Sets what the image's config has as environment, below what `job` has.
void take_environment(Job& job, const Root& root);

}  // namespace casemate
