// cgroup_layout: what /proc/self/cgroup and /proc/self/mountinfo say about this process's cgroups. Pure: text in, places out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// The controllers that casemate uses, as bits.
enum CgroupController : std::uint32_t {
  kCgroupMemory = 1,
  kCgroupPids = 2,
  kCgroupCpu = 4,
  kCgroupCpuacct = 8,  ///< v1 only; v2 counts CPU time in every cgroup
  kCgroupIo = 16,      ///< v1 calls it blkio
};
using CgroupControllers = std::uint32_t;

/// The bits of the names in a list ("cpu,cpuacct" on v1, "cpu memory pids" on v2); names that casemate does not use have none.
[[nodiscard]] CgroupControllers cgroup_controllers(std::string_view names);

/// One line of /proc/PID/cgroup (cgroups(7)).
struct CgroupMembership {
  bool v2 = false;
  std::string names;  ///< v1: the controllers as written, which is also the conventional name of their directory; "name=..." has no bits
  CgroupControllers controllers = 0;  ///< always 0 on v2: what is there the directory itself says (cgroup.controllers)
  std::string path;                   ///< of the process's cgroup, from the root of its cgroup namespace
};

/// One mounted cgroup file system, a line of /proc/PID/mountinfo (proc(5)).
struct CgroupMount {
  bool v2 = false;
  CgroupControllers controllers = 0;  ///< v1
  std::string root;                   ///< the cgroup that is seen at `point`: not "/" in a container without a cgroup namespace
  std::string point;
  bool read_only = false;
  bool nsdelegate = false;  ///< v2: a cgroup namespace can't change its own root's limits (Linux 4.13)
};

/// A hierarchy that this process can see its own cgroup in.
struct CgroupPlace {
  bool v2 = false;
  CgroupControllers controllers = 0;  ///< v1
  std::string top;                    ///< the mount point
  std::string own;                    ///< directory of this process's cgroup, at or below `top`
  bool read_only = false;
  bool nsdelegate = false;
};

/// Lines that are not understood are left out; so are cgroups that are deleted already.
[[nodiscard]] std::vector<CgroupMembership> parse_cgroup_memberships(std::string_view text);
/// Lines of other file systems and lines that are not understood are left out.
[[nodiscard]] std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);
/// Where the process's own cgroups can be reached: memberships whose cgroup lies below the root of one of the mounts; a mount that may be
/// written wins over one that may not.
[[nodiscard]] std::vector<CgroupPlace> cgroup_places(const std::vector<CgroupMembership>& memberships,
                                                     const std::vector<CgroupMount>& mounts);

/// The name of a cell's cgroup, read back.
struct CgroupName {
  std::int32_t pid = 0;
  std::uint64_t start_time = 0;     ///< field 22 of /proc/PID/stat, in clock ticks since boot
  std::uint64_t serial = 0;         ///< 0 is the leaf that an engine moved itself into (v2)
  std::uint64_t pid_namespace = 0;  ///< inode; 0 for the host's first
};
[[nodiscard]] std::string format_cgroup_name(const CgroupName& name);
/// nullopt for a name that casemate did not give.
[[nodiscard]] std::optional<CgroupName> parse_cgroup_name(std::string_view text);

}  // namespace casemate
