// child: interprets a plan's steps in the processes of a cell. Runs between clone3 and execve, in a copy of the engine's memory whose locks
// may be held by nobody: nothing here allocates, locks, throws or calls into the C library beyond thin system call wrappers and string
// functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cell/message.h"
#include "cell/plan.h"
#include "sys/passing.h"

namespace casemate {

inline constexpr int kMostSlots = 256;
inline constexpr int kMostInherited = 3;

/// What the child is given, all of it prepared by the engine before clone3.
struct ChildContext {
  const Plan* plan = nullptr;
  int cgroup_fds[kMostPassed] = {};  ///< tasks files, for enter_cgroups; they come with `prepared`
  std::size_t cgroup_count = 0;
  int slots[kMostSlots];  ///< fds of sources; -1 until opened
  int socket = -1;        ///< to the engine
  int standard[3] = {-1, -1, -1};
  int inherited[kMostInherited] = {-1, -1, -1};  ///< given to the job's process as 3, 4, 5: they come with go
  int inherited_count = 0;
  bool terminal = false;                   ///< `standard` are the command's terminal, to be its controlling one
  int* covered = nullptr;                  ///< receives an O_PATH fd of the directory that mount_root covers, if somebody needs it
  int network = -1;                        ///< a network namespace that is there already, its loopback up; -1: it makes one
  struct CommandBlock* command = nullptr;  ///< relocated; nullptr: comes with go
  char* host_argv = nullptr;               ///< the engine's own argument strings, to be wiped: /proc/1/cmdline shows them
  std::size_t host_argv_bytes = 0;
  std::uint64_t memory_watch_bytes = 0;  ///< 0: a cgroup holds the limit
  std::uint64_t cpu_watch_us = 0;        ///< 0: none
};

/// Runs the steps; returns their number when all went well, else the index of the one that failed, with errno in `problem`.
std::size_t run_steps(const std::vector<Step>& steps, ChildContext& context, int& problem);

/// Sends one message with up to kMostPassed fds. False if the engine is gone.
bool send_message(int socket, const Message& message, const int* fds = nullptr, int count = 0);

/// Receives one message with at most `most` fds; gives their number, -1 if the engine is gone (or, on a socket that does not wait, EAGAIN).
int receive_message(int socket, Message& message, int* fds, int most);

/// Puts the detached `tree` at the absolute path in the memfd `place`, making what is missing of it: directories, and at its end what
/// `mounting` says (Message::Mounting). No symlink is followed: it may go through trees that others made. Gives 0 or an errno; for a cell
/// whose root has been pivoted to.
int mount_late(int tree, int place, std::uint32_t mounting);

/// Reads an absolute path out of a memfd; false if it is none, or longer than PATH_MAX. `path` has room for PATH_MAX.
bool read_place(int fd, char* path);

/// The life of a cell's first process: runs the cell's steps, waits for go, starts the job, reaps, watches, reports, and by its exit ends
/// whatever is left in the pid namespace.
[[noreturn]] void init_main(ChildContext& context);

/// What the first process of a cell or of a block does before anything else: closes every fd but its own (the engine's others, its ends of
/// other cells' pipes among them, must not live on here), wipes the engine's arguments, takes `name` and forgets the engine's signals; all
/// are blocked from here. Then runs the plan's steps for it. Ends the process, having told which step it was, if one fails.
void begin_first_process(ChildContext& context, const char* name);

/// A signalfd(2) that tells of ended children, non-blocking.
int child_signals();

}  // namespace casemate
