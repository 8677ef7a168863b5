// install_reading: what a plan says of how its tool is got.
#pragma once

#include <string>

#include "testplan/models.h"
#include "testplan/plan_table.h"

namespace casemate {

/// Of `install` (an object, a strategy, what --install takes, or a command) or `install_command`. Where a package manager is named and no
/// package, the tool's name is one. With an `install_command` alone the strategy is "": a tool that is there already is not installed.
[[nodiscard]] InstallRequest read_install(const PlanTable& table, const std::string& tool);

}  // namespace casemate
