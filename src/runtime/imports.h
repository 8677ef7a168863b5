// imports: which modules a script's text imports at its top: a hint for the choice of a warm parent, no more.
#pragma once

#include <string>
#include <string_view>

namespace casemate::runtime {

/// The top-level modules that lines at the outermost level of `text` (or right below a `try:` there) import, sorted, each once, with commas
/// between; at most 32. Modules that come with Python and are quick to import are left out, and those that lie in `directory`, the
/// script's own: a parent does not see it. What is no import, or is hidden in a string, may be taken for one: importing it harms nobody.
[[nodiscard]] std::string imported_modules(std::string_view text, const std::string& directory);

}  // namespace casemate::runtime
