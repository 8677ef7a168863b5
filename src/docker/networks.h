// networks: networks of their own for containers of one run, made and removed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "casemate/result.h"
#include "docker/api.h"

namespace casemate {

/// A network to make.
struct DockerNetworkOrder {
  std::string name;         ///< unique at the daemon
  std::string label_value;  ///< of kDockerLabel
  bool internal = true;     ///< containers reach each other, and nothing else
};

/// Makes a bridge network; `done` gets its id, once, from the reactor. refused: the name is taken, or the daemon may make no more networks.
DockerCallId make_docker_network(DockerApi& api, const DockerNetworkOrder& order, std::function<void(Result<std::string>)> done);
/// Removes a network, from which all containers must have gone (refused otherwise). One that is not there is no error.
DockerCallId remove_docker_network(DockerApi& api, const std::string& id, std::function<void(Result<void>)> done);

}  // namespace casemate
