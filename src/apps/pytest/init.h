// init: the first maelstrom-pytest.toml of a project.
#pragma once

#include <string>

#include "casemate/result.h"

namespace casemate {

/// Writes maelstrom-pytest.toml into a project's directory, and gives what to tell: that it is there, and what comes next. As
/// maelstrom-pytest its tests run on an image; else on the host's interpreter, if the project doesn't say otherwise. refused: there is one
/// already, which stays as it is (said in maelstrom-pytest's words under its name).
Result<std::string> write_first_directives(const std::string& directory, bool as_maelstrom);

/// The text of the file.
[[nodiscard]] std::string first_directives(bool as_maelstrom);

}  // namespace casemate
