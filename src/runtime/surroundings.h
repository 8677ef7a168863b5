// surroundings: the interpreter that scripts run on, and what their cells show of the host or an image.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "image/installer.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// What every script's job begins with: root, mounts of the interpreter and its packages, environment, limits. Layers stay in the store
/// while it lives.
struct Surroundings {
  Job job;  ///< argv: {python}; nothing of the project is shown
  std::vector<std::string> notes;
  std::shared_ptr<const void> kept;  ///< leases of layers and images
};

/// From the configuration's python, requirements and image; builds or pulls what is missing, which `progress` hears. Errors name what could
/// not be had.
Result<Surroundings> make_surroundings(const RuntimeTestingConfiguration& configuration, const RunJob& run, const Progress& progress);

}  // namespace casemate::runtime
