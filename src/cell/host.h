// host: what a plan has to know of this machine, read once an engine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "sys/privilege.h"

namespace casemate {

/// How one path of the host looks.
struct HostPath {
  enum class Kind { missing, directory, file, symlink, other };
  Kind kind = Kind::missing;
  std::string target;  ///< symlink
  bool operator==(const HostPath&) const = default;
};

/// Facts about this machine that plans depend on. Plain data, so that plans can be compiled for machines we are not on.
struct HostFacts {
  /// How ids inside a cell become ids of the host.
  struct IdMap {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t count = 1;
    bool operator==(const IdMap&) const = default;
  };
  std::uint32_t uid = 0;  ///< effective, of this process
  std::uint32_t gid = 0;
  bool privileged =
      false;  ///< CAP_SYS_ADMIN, SETUID, SETGID over the user namespace we are in: sources are opened and maps written beforehand
  bool sub_ids = false;  ///< maps are written by newuidmap and newgidmap
  std::vector<IdMap> uid_map;
  std::vector<IdMap> gid_map;
  std::string root_mount_point = "/tmp";  ///< a host directory to mount a cell's root on (in the cell's own mount namespace)
  std::string resolv_conf_path;           ///< where /etc/resolv.conf really lies, if outside /etc; "" else
  std::string resolv_conf;                ///< content of /etc/resolv.conf; "": there is none
  bool loopback_resolver = false;  ///< /etc/resolv.conf names a server on the host's loopback, which a cell behind a gateway can't reach
  bool machine_id = false;         ///< /etc/machine-id exists (and is masked)
  std::map<std::string, HostPath> paths;  ///< of default_host_paths() and whatever a job names

  /// Looks a path up on this machine if it is not known yet.
  void look_at(const std::string& path);
  bool operator==(const HostFacts&) const = default;
};

/// The address at which a gateway answers for the host's own resolver, where that listens on the host's loopback.
inline constexpr const char* kGatewayResolver = "169.254.1.53";

/// Reads the facts of this machine. A few system calls.
HostFacts read_host_facts();

struct Job;
/// Makes a job ready for compile(): sources of mounts become real paths (symlinks resolved), and `host` knows how they and the job's
/// host_paths look; these lose empty parts ("//usr/." is "/usr"). Sources that don't exist stay as they are; compile() names them. It also
/// knows then whether a target that lies in a shown host tree can be mounted on.
void resolve_sources(Job& job, HostFacts& host);

}  // namespace casemate
