// interpreter_files: what of a Python interpreter's prefix it can do without on another machine.
#pragma once

#include <string>
#include <string_view>

namespace casemate {

/// Whether a directory of the host is what a Python interpreter (its standard library is in it) or a virtual environment lies in.
[[nodiscard]] bool is_interpreter_prefix(const std::string& directory);

/// Whether nothing that runs misses the file or directory at `path`, relative to the prefix: headers, manuals, static libraries and what
/// links them, the standard library's own tests, conda's archives, and bytecode that is used with -O alone. `packages`: what was installed
/// into the prefix is wanted too.
[[nodiscard]] bool runs_without(std::string_view path, bool packages);

}  // namespace casemate
