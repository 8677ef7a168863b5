// docker_context: a container that stays, in which commands run by exec.
#pragma once

#include "casemate/job.h"
#include "docker/container_creation.h"
#include "engine/context.h"

namespace casemate {

/// For Executor::open(). The context must end before `ground` does.
Result<void> open_docker_context(DockerGround& ground, Job job, OpenedContext opened);

}  // namespace casemate
