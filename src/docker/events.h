// events: what happens to our containers at the daemon, whoever does it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "casemate/result.h"
#include "docker/api.h"

namespace casemate {

/// Something that happened to a container.
struct DockerEvent {
  std::string action;     ///< "die", "destroy", "oom", "kill", "stop", "pause"; podman's "died" and "remove" are "die" and "destroy" here
  std::string container;  ///< its id
  int exit_code = -1;     ///< die: of its first process; -1: the daemon does not say
};

/// A watch on the events of containers with one label. Its destructor ends it.
class DockerEvents {
 public:
  struct Hears {
    std::function<void(const DockerEvent&)> event;
    /// Once, and nothing after it: the daemon has gone, or ended the stream.
    std::function<void(Error)> lost;
  };
  /// Watches containers whose label kDockerLabel has this value, from now on; what happens before the daemon has the request is not heard.
  /// All are called from the reactor, and none may destroy this. `api` must outlive it.
  DockerEvents(DockerApi& api, const std::string& label_value, Hears hears);
  ~DockerEvents();
  DockerEvents(const DockerEvents&) = delete;
  DockerEvents& operator=(const DockerEvents&) = delete;

 private:
  DockerApi& api_;
  DockerCallId call_ = 0;
};

}  // namespace casemate
