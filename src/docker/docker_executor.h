// docker_executor: jobs in containers of a Docker Engine or podman, with the same outcomes, results and captured files as in cells.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "docker/api.h"
#include "docker/images.h"
#include "engine/executor.h"
#include "engine/reactor.h"
#include "image/root.h"

namespace casemate {

/// What the executor talks to, and how it gets images.
struct DockerOptions {
  DockerEndpoint endpoint;
  DockerPull pull = DockerPull::missing;
  TellDocker tell;  ///< progress of pulls; may be empty
  /// What jobs take over of their image's config (an empty cwd is the image's, an empty argv its command); nullopt: they are complete.
  std::optional<ConfigUse> config;
  std::string user;     ///< with `config`: name or numbers, in the words of the image; "": the job's own, or with ConfigUse::user its
  std::string witness;  ///< host path of casemate-witness (witness/witness.h); "": the one beside this program
};

/// For Engine::add_executor("docker", ...). Waits until the daemon has answered (5 s at most), and sweeps what engines that are dead left
/// there. The Error's `where` is "docker daemon" if there is none, none that may be used, or one that hangs.
Result<std::unique_ptr<Executor>> make_docker_executor(Reactor& reactor, DockerOptions options);

}  // namespace casemate
