// cgroup: limits and accounting for one cell, on cgroup v1, v2, a hybrid of both, or none, behind one interface (cgroup_v1, cgroup_v2).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// What a cell is held to. Unset: not bounded (but still counted where a controller allows).
struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes;  ///< no swap on top: memory.swap.max 0, or memsw where v1 has it
  std::optional<std::uint32_t> pids;
  std::optional<double> cpus;  ///< quota over a 100 ms period
  /// Count CPU time too: needed for a CPU-time limit, and the only count that a job can't dodge (rusage misses children reaped by
  /// SIGCHLD ignored). Free on v2; a third directory on v1 (cpuacct, +0.06 ms), so ask only when it is used.
  bool count_cpu = false;
  bool count_io = false;  ///< count bytes of block devices; on v1 one directory more (blkio, +0.07 ms)
};

/// What a cell used, read after its last process ended and before the cgroup goes. Unset: no controller for it.
struct CgroupUsage {
  std::optional<std::uint64_t> peak_memory_bytes;
  std::optional<std::uint64_t> oom_kills;
  std::optional<std::uint64_t> pids_refused;  ///< forks that failed for the pids limit
  std::optional<std::uint64_t> peak_pids;
  std::optional<std::uint64_t> user_cpu_us;
  std::optional<std::uint64_t> system_cpu_us;
  std::optional<std::uint64_t> read_bytes;
  std::optional<std::uint64_t> written_bytes;
};

/// The cgroups of one cell: one directory on v2, one a controller on v1. Owner: the destructor kills what is inside and removes them.
class Cgroup {
 public:
  virtual ~Cgroup() = default;
  /// v2: the directory's fd, for clone3(CLONE_INTO_CGROUP) (Linux 5.7); -1 on v1 alone.
  [[nodiscard]] virtual int directory_fd() const = 0;
  /// v1: fds of `tasks` files open for writing. The new process writes "0" to each before it does anything else: moving oneself as a single
  /// thread spares the kernel's global lock that a write to cgroup.procs takes. The fds stay owned by this object.
  [[nodiscard]] virtual const std::vector<int>& entry_fds() const = 0;
  [[nodiscard]] virtual CgroupUsage usage() const = 0;
  /// CPU time used by all processes so far, for a watchdog; unset without a controller.
  [[nodiscard]] virtual std::optional<std::uint64_t> cpu_us() const = 0;
  /// Makes it as new for the next processes: peaks forgotten. `used` is what usage() said after the last of these. False if that can't be:
  /// something is still charged that a new one would not have (more than 4 MiB, which peaks would show), a limit was hit, or this kernel
  /// has no way. Only init may be inside.
  virtual bool renew(const CgroupUsage& used) = 0;
  /// From here usage() has the peak of memory since now. False where that can't be: then it has that of all its life (v2 before Linux 6.12,
  /// and here on v2 always).
  virtual bool forget_memory_peak() = 0;
  /// Sends SIGKILL to everything inside, until it is empty, for 5 s at most (a process in an uninterruptible sleep can't die).
  virtual void kill_all() = 0;
};

/// Which limits this host can hold by cgroups, for `doctor` and for the decision to fall back.
struct CgroupSupport {
  enum class Version { none, v1, v2, hybrid };
  Version version = Version::none;
  bool memory = false;
  bool pids = false;
  bool cpu = false;
  bool io = false;
  std::string parent;  ///< where our cgroups are made (the first controller's directory on v1); "" with Version::none
  std::string reason;  ///< why something is missing and how to get it; "" when nothing is
};

/// Makes cgroups for cells below the place this process may use. One an engine.
class CgroupFactory {
 public:
  virtual ~CgroupFactory() = default;
  [[nodiscard]] virtual const CgroupSupport& support() const = 0;
  /// A cgroup named "casemate-<engine pid>-<start time>-<serial>" with these limits ("-<pid namespace>" follows where that is not the
  /// host's first one). A limit without its controller is a not_supported error; the caller decides beforehand, by support(), what to ask
  /// for; a count without its controller stays unset. v1 hierarchies that serve neither a limit nor a count are left alone.
  virtual Result<std::unique_ptr<Cgroup>> create(const CgroupLimits& limits) = 0;
  /// Removes cgroups left by engines that no longer live (names carry pid and start time), killing what is inside. Number of cells removed.
  /// One fstat when no cgroup has children, else one readdir. Safe beside other engines and their sweeps.
  virtual std::size_t sweep() = 0;
};

/// Reads /proc/self/cgroup and /proc/self/mountinfo and finds the writable place. Never fails: without any it gives one whose support() is
/// `none`, with the reason. Cheap (a few files): `casemate run` calls it each time.
std::unique_ptr<CgroupFactory> open_cgroups();

}  // namespace casemate
