// step_collection: what became of the paths of a container's layer, as changes: contents by archive, kinds by two snapshots.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "docker/collection.h"
#include "docker/container_opening.h"

namespace casemate {

/// A collection of `steps`, whose JobResult has a change for each, sorted by path; what is there comes from the container as it is now, and
/// is put into the host directory `destination` ("": nowhere). What keeps the destination from being used is an Error.
Result<std::unique_ptr<Collection>> collect_steps(DockerGround& ground, const OpenContainer& container,
                                                  std::map<std::string, LayerStep> steps, const std::string& destination,
                                                  Collection::Done done);

}  // namespace casemate
