// daemon_version: who a daemon says it is, and whether we can speak with it.
#pragma once

#include <optional>

#include "casemate/result.h"
#include "docker/api.h"

namespace casemate {

/// What the answer to GET /_ping says of a podman of this machine, whose GET /version takes a second, as it asks programs for theirs.
/// nullopt: it is something else, or does not say: ask GET /version. Errors as below.
Result<std::optional<DockerVersion>> podman_version(const DockerEndpoint& endpoint, const DockerReply& ping);

/// What the answer to GET /version means, with the API's version settled on. not_supported: too old or too new for us, Windows containers;
/// corrupt: no answer of a Docker Engine's; refused: it says that we may not.
Result<DockerVersion> daemon_version(const DockerEndpoint& endpoint, const DockerReply& reply);

}  // namespace casemate
