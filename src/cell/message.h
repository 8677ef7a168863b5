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
    // engine to init
    prepared,  ///< id maps are written; the cgroups' tasks files are attached, if entering needs any
    go,        ///< start the job; with one fd (a memfd with the packed command) if the cell was made ahead
    signal,    ///< send signal `value` to the job's process group
    adopt,     ///< instead of go: the job's process comes from outside, by setns(2), and is somebody else's child
    finish,    ///< the adopted process has ended, with wait status `value`: report, and end
    // engine to a block's init, and its answer
    make,  ///< a cell of kind `step`; attached: its init's socket, then, if the kind runs a command, stdin, stdout and stderr
    made,  ///< pid `value`, pidfd attached; or `value` is 0 and `step` an errno
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

}  // namespace casemate
