// plan: the ordered list of steps that makes one cell and starts one job in it, as a value. Compiled from a Job by a pure function, printed
// by `casemate explain`, compared in golden tests, and interpreted after clone3 by child.cc, which may not allocate.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "cell/host.h"

namespace casemate {

/// One step. Which fields count depends on `op`; paths without a leading '/' are relative to the new root.
struct Step {
  enum class Op {
    // by the cell's init, in the new namespaces
    network_namespace,  ///< unshare: the kernel takes longest for this one, so init makes it while the engine makes the cgroups
    private_mounts,     ///< no mount event leaves or enters (MS_REC | MS_PRIVATE on /)
    open_source,        ///< detached copy of the host's `source` into `slot`; only if the engine could not do it beforehand
    await_engine,       ///< until the engine has written uid_map and gid_map and made the cgroups
    enter_cgroups,      ///< write "0" to the tasks files (v1), then a cgroup namespace of its own
    become_root,        ///< setgroups, setresgid, setresuid to 0 of the user namespace; not dumpable from here
    namespace_limit,    ///< `path` below /proc/sys/user lowered to `number`: counted for this user namespace, and for its maker
    mount_root,         ///< tmpfs with `data` on the host directory `path`, and go there
    make_directory,     ///< mkdir `path` with `mode`; it may exist
    make_file,          ///< a file `path` with `mode` and content `data`
    make_symlink,       ///< `path` -> `source`
    attach,             ///< the tree in `slot` at `path`
    bind,               ///< host path `source` at `path` (device nodes, masks)
    mount,              ///< a new file system `source` at `path` with `data`
    overlay,            ///< overlay with `data` at `path`
    read_only,          ///< `path` read-only from here (bind on itself, remount)
    detach,             ///< lazy unmount of `path`, then rmdir
    export_directory,   ///< send an fd of `path` to the engine: collected directory number `slot`
    export_namespaces,  ///< send fds of the cell's own namespaces to the engine, for forks that enter it
    export_network,     ///< send fds of the network and user namespaces to the engine, for the gateway
    enter,              ///< chdir to `path`: an image's root is an overlay beside its layers, and later steps are relative to it
    pivot,              ///< pivot_root(".", "."), unmount the old root
    hostname,           ///< sethostname `data`
    loopback_up,        ///< interface lo up
    await_network,      ///< until there is a default route, at most 10 s
    // by the job's process
    session,            ///< setsid
    resource_limit,     ///< setrlimit `slot` to `number`
    change_directory,   ///< chdir `path`
    identity,           ///< setgroups, setresgid `mode`, setresuid `number`
    capabilities,       ///< keep only the set `number` (bit i = capability i), bounding set too
    no_new_privileges,  ///< prctl PR_SET_NO_NEW_PRIVS
    seccomp,            ///< the filter of profile `data`
    execute,            ///< execve the job's command (not part of the plan: cells are made ahead)
  };
  Op op;
  std::string path;
  std::string source;
  std::string data;
  std::uint64_t number = 0;
  std::uint32_t mode = 0;
  int slot = 0;
  bool optional = false;  ///< ENOENT is no failure (a /proc file that this kernel doesn't have)
  bool scoped = false;    ///< `path` may go through a tree that others made: its symlinks lead to places of the cell, never of the host

  bool operator==(const Step&) const = default;
};

/// A tree of the host that the cell shows, opened before the new root hides it.
struct Source {
  std::string path;
  bool read_only = true;
  bool noexec = false;
  bool idmapped = false;
  bool operator==(const Source&) const = default;
};

/// All steps for one job on one host.
struct Plan {
  std::uint64_t namespaces = 0;        ///< CLONE_NEW* of the cell: all by clone3, but the network's by a step
  std::vector<Source> sources;         ///< slot numbers of open_source and attach
  std::vector<Step> cell;              ///< by init
  std::vector<Step> job;               ///< by the job's process
  std::vector<std::string> collected;  ///< overlay targets, by export_directory's slot
  std::vector<std::vector<std::string>> collected_lower;
  bool outbound = false;  ///< a gateway has to be attached before the job starts
  Profile profile = Profile::standard;
  bool enterable = false;          ///< its job is no command but forks from outside
  bool serves_commands = false;    ///< `job` are the steps of each of its commands; their working directory is the command's
  bool enters_cells = false;       ///< its forks enter other cells of its block: setns(2) is allowed
  std::vector<std::string> notes;  ///< what fell back

  bool operator==(const Plan&) const = default;
};

/// Compiles a job. Pure: reads nothing but its arguments. invalid_input for a job that makes no sense (empty argv, NUL bytes, relative
/// targets,
/// `..`, a mount over / or /proc, unknown capability), not_supported for what this host can't do (uid 1000 with a single-id map).
Result<Plan> compile(const Job& job, const HostFacts& host);

/// A step in words, for people: "mount proc at /proc (nosuid,nodev,noexec)". Names are made printable.
[[nodiscard]] std::string describe(const Step& step, const Plan& plan);
/// The word of an op, as JSON has it: "mount_root".
[[nodiscard]] std::string_view word(Step::Op op);

}  // namespace casemate
