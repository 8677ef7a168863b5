// project_requirements: the packages that a pyproject.toml names, as the lines of a requirements file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// What of a pyproject.toml is wanted. Spelled "pyproject.toml" (the project's dependencies), "pyproject.toml[dev,docs]" (these and
/// extras), "pyproject.toml:test,lint" (groups alone, as pip's --group), "pyproject.toml[dev]:test".
struct ProjectSelection {
  std::string file;                 ///< path of the pyproject.toml
  std::vector<std::string> extras;  ///< of [project.optional-dependencies]; the project's dependencies come with them
  std::vector<std::string> groups;  ///< of [dependency-groups] (PEP 735)

  /// "[dev]:test" behind the file's name.
  [[nodiscard]] std::string spelled() const;
};

/// nullopt: the path's last part names no pyproject.toml, so it is a requirements file.
[[nodiscard]] std::optional<ProjectSelection> project_selection(std::string_view path);

/// The selection's packages, each on the line where the file has it, if no other is there. An extra that names the project itself
/// ("name[other]") means its other extra. invalid_input "FILE:LINE: ...": no such extra or group, a group that includes itself,
/// dependencies that only a build knows (dynamic), what is no requirement.
Result<std::string> project_requirements(std::string_view toml, const ProjectSelection& selection);

}  // namespace casemate
