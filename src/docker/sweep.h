// sweep: containers and networks that a killed engine left at a daemon.
#pragma once

#include <string>
#include <string_view>

#include "docker/api.h"
#include "engine/reactor.h"

namespace casemate {

/// The value of kDockerLabel for this process: "<pid>-<start time>-<boot id>-<pid namespace>".
[[nodiscard]] std::string engine_label();

/// What is known of the engine that a label names.
enum class EngineLife {
  alive,
  dead,
  unknown,  ///< of another boot or pid namespace: perhaps another machine's, for a daemon may serve several
};
[[nodiscard]] EngineLife engine_life(std::string_view label);

/// Removes containers and networks of dead engines, never those of living ones; of unknown engines only containers that do not run and are
/// more than an hour old. What can't be removed stays for the next. Some 20 s at most where the daemon hangs.
Result<void> sweep_docker(DockerApi& api, Reactor& reactor);

}  // namespace casemate
