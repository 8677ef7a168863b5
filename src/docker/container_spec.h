// container_spec: a job as the Engine API's body of POST /containers/create. Pure.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/job.h"
#include "casemate/result.h"
#include "docker/endpoint.h"

namespace casemate {

/// What can't be said in the body, and has to be done around it.
struct ContainerSpecBody {
  nlohmann::ordered_json body;
  struct Upload {
    std::vector<std::string> lower;  ///< host directories, topmost first, or one file
    std::string target;              ///< absolute, clean
    bool owned = false;              ///< as Mount::owned
    bool open_to_all = false;        ///< the directory is of mode 0777: the job's user is not its owner
    bool volume = false;             ///< the target is a volume of the container's own: its root is read-only
  };
  std::vector<Upload> uploads;     ///< copied in by PUT archive before the start: overlays, and binds where the daemon is elsewhere
  bool watch_disk = false;         ///< Limits::disk_*: by looking at the container's size while it runs
  bool watch_cpu = false;          ///< Limits::cpu_time
  std::vector<std::string> notes;  ///< what falls back, as Plan::notes
};

/// What the container is for. kept: a job whose container becomes an image; its environment is no part of the body, for it would stay in
/// the image's config: the witness is told it (environment_text()).
enum class ContainerUse { job, kept, context };

/// What a container is made with beside its job.
struct ContainerSetting {
  DockerEndpoint endpoint;
  ContainerUse use = ContainerUse::job;
  bool podman = false;
  std::string label_value;             ///< of kDockerLabel
  std::string user;                    ///< in the words of the image; "": Job::user
  std::string witness;                 ///< host path of the program that is its first process; "": it is uploaded
  std::string token;                   ///< of the witness's report
  std::string image;                   ///< id of Job::image
  std::vector<std::string> image_env;  ///< "NAME=value", of the image's config: a job inherits none of it
};

/// Where the witness (witness/witness.h) lies in a container.
inline constexpr std::string_view kWitnessPlace = "/.casemate";

/// Job::image is the reference; Job::root must be empty. Always: CapDrop ALL (and what Job::capabilities keeps), no-new-privileges, the
/// witness as init, own ipc, no restart, labels, logs "none". standard: the daemon's own seccomp filter; strict: ours besides.
/// not_supported for what this executor can't hold or show (image host, a writable directory where the daemon is elsewhere): it says which
/// flag to leave out.
Result<ContainerSpecBody> container_spec(const Job& job, const ContainerSetting& setting);

}  // namespace casemate
