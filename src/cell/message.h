// message: what the engine and a cell's init say to each other over a SOCK_SEQPACKET pair. One fixed-size record a message.
#pragma once

#include <cstdint>

namespace casemate {

/// One record. Both ends are the same binary, so the layout needs no versions. Fields that a kind does not name are 0.
struct Message {
  enum class Kind : std::uint32_t {
    // init or the job's process to the engine
    failed,      ///< step `step` of the cell's (phase 0) or the job's (phase 1) list failed with errno `value`
    exported,    ///< one fd attached: collected directory `step`
    network,     ///< two fds attached: network and user namespace
    ready,       ///< all steps of the cell are done; waiting for go
    ended,       ///< the main process was reaped: wait status `value`; `step` is 1 if a writable layer is full, `phase` has bits of `Trace`
    leftover,    ///< a process was still there: pid `value`, `text` is its comm
    over_limit,  ///< the watchdog ended the job: `step` is 0 for memory, 1 for CPU time
    namespaces,  ///< the cell's namespaces attached, in the order of kNamespaceNames; `step` has a bit for each that is there
    mounted,     ///< all trees that came by `mount` are at their places
    terminal,    ///< the master of the terminal that a command has (pty(7)) attached
    used,        ///< before `ended`, of a command: `text` is two std::uint64_t, user and system CPU time in microseconds; `step` is the
                 ///< largest resident set in KiB, `phase` minor and `value` major page faults
    // engine to init
    prepared,  ///< id maps are written; the cgroups' tasks files are attached, if entering needs any
    go,        ///< start the job; with one fd (a memfd with the packed command) if the cell was made ahead. To a cell that serves commands:
               ///< the memfd and the command's stdin, stdout and stderr; or the memfd alone: it gets a terminal
    signal,    ///< send signal `value` to the job's process group; to all processes of a command's session
    end_command,  ///< SIGKILL to all processes of the running command's session (setsid(2)); nothing if there is none
    adopt,        ///< instead of go: the job's process comes from outside, by setns(2), and is somebody else's child
    finish,       ///< the adopted process has ended, with wait status `value`: report, and end
    mount,  ///< before adopt: two fds attached, a detached tree and a memfd with the path where it goes. `step` is its number, `value`
            ///< has bits of `Mounting`. A failure is `failed` with phase 2
    // engine to a block's init, and its answer
    make,    ///< a cell of kind `step`; attached: its init's socket, then, if the kind runs a command, stdin, stdout and stderr
    made,    ///< pid `value`, pidfd attached; or `value` is 0 and `step` an errno
    open,    ///< a tree of the host, as the block's init sees it: a memfd with its path attached, `value` has bits of `Mounting`
    opened,  ///< the detached tree attached; or none, and `step` an errno
  };
  /// Of `mount` and `open`.
  enum Mounting : std::uint32_t {
    directory = 1,  ///< else a file
    writable = 2,
    executable = 4,
    last = 8,  ///< `mounted` is to be said after it
  };
  /// Of `ended`, where the process came from outside: what is as if it had never been there.
  enum Trace : std::uint32_t {
    network_untouched = 1,  ///< another cell may have the network namespace
    untouched = 2,          ///< the cell serves again: a `namespaces` with what is new and another `ready` follow
  };
  Kind kind;
  std::uint32_t phase = 0;
  std::uint32_t step = 0;
  std::int32_t value = 0;
  char text[16] = {};
};

/// What a `namespaces` message carries, as files of /proc/self/ns.
inline constexpr const char* kNamespaceNames[] = {"mnt", "pid", "ipc", "uts", "net", "cgroup"};
inline constexpr int kNamespaces = 6;
inline constexpr int kIpcNamespace = 2;  ///< its index there
inline constexpr int kNetworkNamespace = 4;

inline constexpr std::uint32_t kMountPhase = 2;  ///< of a `failed`: `step` is the number of a `mount`
inline constexpr int kMostLateMounts = 64;       ///< a cell

}  // namespace casemate
