// Job: what to run, as plain data. Every front end makes these, every executor takes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace casemate {

/// Bounds on one job. Unset means "no bound asked for"; a bound that is set and can't be held makes the job fail to start.
struct Limits {
  std::optional<std::uint64_t> memory_bytes;          ///< all memory of the cell, page cache and tmpfs included
  std::optional<std::uint32_t> pids;                  ///< processes and threads at a time
  std::optional<double> cpus;                         ///< CPU bandwidth: 1.5 is one and a half cores
  std::optional<std::chrono::milliseconds> wall;      ///< from exec to the end
  std::optional<std::chrono::milliseconds> cpu_time;  ///< user + system, summed over the cell
  std::optional<std::uint64_t>
      output_bytes;  ///< stdout + stderr; more ends the job with `output limit` (see Job::capture_bytes for what is kept)
  std::optional<std::uint64_t> disk_bytes;   ///< each writable layer and tmpfs of the cell
  std::optional<std::uint64_t> disk_inodes;  ///< the same, in files
  std::optional<std::uint64_t> open_files;   ///< RLIMIT_NOFILE
  std::optional<std::uint64_t> file_bytes;   ///< RLIMIT_FSIZE: the size of any one file

  bool operator==(const Limits&) const = default;
};

/// The limits `casemate run` holds when nothing is asked: 512 MiB of memory, 256 pids, 256 MiB and 32,768 files a writable layer,
/// 1,024 open files. Output, cpus, wall and cpu_time are unset.
[[nodiscard]] Limits default_limits();

/// What of the network a job can reach.
enum class Network {
  none,      ///< a network namespace of its own, only loopback, up
  outbound,  ///< its own namespace behind a user-mode gateway; the host's loopback and unix sockets stay out of reach
  host,      ///< the host's network namespace
};

/// How much of the kernel a job may touch. See docs/design/seccomp.md.
enum class Profile {
  standard,  ///< an allow-list of system calls that ordinary programs use ("default" on the command line)
  strict,    ///< also no new namespaces, no ptrace, no keyrings, no raw sockets, only pid entries in /proc
};

/// A directory or file of the host put into the cell. Nothing of the host is seen that is not mounted.
struct Mount {
  enum class Kind {
    bind,     ///< `source` (a host path) at `target`, read-only unless `writable`
    overlay,  ///< `lower` (host directories, topmost first) under a private writable layer at `target`; changes are thrown away or
              ///< collected
    tmpfs,    ///< an empty private tmpfs at `target`
    proc,     ///< proc(5) at /proc, which every cell has: asking for it changes nothing
    sysfs,    ///< sysfs(5), read-only, at `target` (mostly /sys); needs a network namespace of the cell's own
    mqueue,   ///< mqueue_overview(7)'s file system of the cell's IPC namespace, mostly at /dev/mqueue
    devpts,   ///< another instance of devpts at `target`; every cell has one at /dev/pts, where asking for it changes nothing
    device,   ///< the host's device node /dev/`source` ("null", "fuse") at `target`; only those of a fixed list
  };
  Kind kind = Kind::bind;
  std::string source;              ///< bind: absolute host path; device: a name below /dev
  std::string target;              ///< absolute path in the cell; parents are made
  std::vector<std::string> lower;  ///< overlay: absolute host directories; may be empty
  std::string under;               ///< overlay: a directory of the host below all of `lower`, whose owners stay (see `owned`); "": none
  bool writable = false;           ///< bind only
  /// bind/overlay: the job's root owns what the caller owns (an idmapped mount when casemate runs as root). Without it, files keep their
  /// host owners, which the cell sees as nobody's.
  bool owned = false;
  bool executable = true;  ///< false: noexec
  /// tmpfs: size; unset: Limits::disk_bytes. bind of a directory, writable: the job is ended (disk_limit) when what it writes there takes
  /// more, or nearly fills the file system. That is looked at ten times a second, so late.
  std::optional<std::uint64_t> bytes;
  std::uint32_t mode = 0755;  ///< tmpfs: mode of its root

  bool operator==(const Mount&) const = default;
};

/// A user and group id as the cell sees them.
struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  bool operator==(const User&) const = default;
};

/// What to run: argv, environment, root, mounts, limits, network, outputs wanted.
struct Job {
  std::string name;                        ///< for people and reports; may be empty
  std::string executor;                    ///< "": the engine's own; else one that was added to it (Engine::add_executor)
  std::vector<std::string> argv;           ///< argv[0] is looked up in PATH of `env` inside the cell; never empty. Any bytes but NUL.
  std::map<std::string, std::string> env;  ///< the whole environment: nothing is inherited
  std::string cwd = "/";                   ///< absolute, in the cell; made if it lies in a writable place
  std::string image = "host";              ///< what the root is called: "host", or an image whose layers are `root`
  /// Image other than "host": host directories that are the root's layers, topmost first, as overlayfs wants them (docs/design/images.md).
  /// Never written to: all changes go to a private layer of the cell's (Limits::disk_bytes).
  std::vector<std::string> root;
  std::vector<std::string> host_paths;  ///< image "host": shown read-only, with the root's links into them; empty: default_host_paths()
  std::vector<Mount> mounts;            ///< applied in the order of their targets' depth
  std::string hostname = "casemate";
  User user;
  Network network = Network::none;
  Profile profile = Profile::standard;
  std::vector<std::string> capabilities;  ///< kept, by name without CAP_ ("NET_BIND_SERVICE"); in the cell's user namespace only
  Limits limits;
  std::uint64_t capture_bytes = 16ull << 20;  ///< of each stream (and of both merged) kept in the result: the first and last parts
  bool read_only = false;                     ///< no writable HOME, /var/tmp, /run: only /tmp, /dev/shm and asked-for mounts can be written
  bool forward_stdin = false;                 ///< the job reads `stdin_fd`; otherwise /dev/null
  int stdin_fd = -1;                          ///< borrowed
  bool report = false;                        ///< the job's descriptor 3 is a pipe, and JobListener::report() hears what is written to it
  std::vector<std::string> collect;           ///< overlay targets whose changed files are wanted; "/" with an image: the whole root
  /// Its result depends on its inputs alone, says who asks for it: an executor, or who runs it, may give that of another time, of the same
  /// job with the same inputs.
  bool deterministic = false;
  /// Host directory that receives them (made; must be empty of names that clash); "" lists only. With several `collect`, each goes to a
  /// sub-directory that is named as in the cell.
  std::string collect_to;
};

/// What `image = "host"` shows when a job does not say: /usr and the links into it, /etc, /opt.
[[nodiscard]] std::vector<std::string> default_host_paths();

}  // namespace casemate
