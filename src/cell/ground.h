// ground: what the making of cells has in common: this machine, its cgroups, trees of the host, id maps, and who holds which limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "casemate/job.h"
#include "casemate/result.h"
#include "cell/host.h"
#include "cell/plan.h"
#include "sys/cgroup.h"
#include "sys/fd.h"

namespace casemate {

/// What all cells of one engine share.
struct CellGround {
  HostFacts host;
  CgroupFactory* cgroups = nullptr;  ///< never null
  UniqueFd idmap;                    ///< user namespace for idmapped mounts; made when first needed
  char* host_argv = nullptr;         ///< the engine program's argument strings, wiped in every cell
  std::size_t host_argv_bytes = 0;
};

/// Who holds a cell's limits.
struct HeldLimits {
  std::optional<CgroupLimits> cgroup;    ///< nullopt: none is needed
  std::uint64_t memory_watch_bytes = 0;  ///< by init's watchdog; 0: not
  std::uint64_t cpu_watch_us = 0;
  std::vector<std::string> notes;  ///< what fell back
};

/// Whether a step is the bound of a user's processes (RLIMIT_NPROC).
[[nodiscard]] bool bounds_processes(const Step& step);

/// Memory, pids and cpus by cgroup where there is a controller, else by a watchdog in init and by resource limits, which it changes in
/// `plan`. not_supported: a bound that can be held by neither.
Result<HeldLimits> hold_limits(const CgroupSupport& support, const Limits& limits, Plan& plan);

/// The plan's trees of the host, detached, in the order of its slots; none where only the cell's own init may open them. What can't be
/// idmapped is told in `notes`.
Result<std::vector<UniqueFd>> open_sources(CellGround& ground, const Plan& plan, std::vector<std::string>& notes);

/// One of them, by a privileged engine.
Result<UniqueFd> open_source(CellGround& ground, const Source& source, std::vector<std::string>& notes);

/// Writes uid_map and gid_map of a process that waits for them in a new user namespace.
Result<void> write_id_maps(const HostFacts& host, pid_t pid);

/// What clone3 of a process with new namespaces failed with, told with what to do.
[[nodiscard]] std::unexpected<Error> clone_failure(int problem);

}  // namespace casemate
