// run_job: an engine as what makes layers and environments knows it: a function that runs one job.
#pragma once

#include "casemate/engine.h"
#include "image/installer.h"

namespace casemate {

/// Runs each job to its end on `engine`, which must live as long.
[[nodiscard]] RunJob run_jobs_on(Engine& engine);

}  // namespace casemate
