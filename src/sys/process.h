// process: clone3, pidfds and waiting, thinly.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// The raw clone3(2) as a fork: `flags` are CLONE_NEW*; CLONE_PIDFD is added and the pidfd stored in `pidfd`. `cgroup_fd` >= 0 adds
/// CLONE_INTO_CGROUP (Linux 5.7). Returns 0 in the child, the pid in the parent, -1 with errno. The child must call nothing that allocates
/// or locks.
pid_t clone_process(std::uint64_t flags, int cgroup_fd, int* pidfd);

/// How a process ended, from waitid(2) on its pidfd.
struct ProcessEnd {
  bool signaled = false;
  int code = 0;                   ///< exit status or signal number
  bool reaped_elsewhere = false;  ///< a wait(2) for any child, of the program that we are part of, took it: then nothing else here is known
  std::int64_t user_us = 0;
  std::int64_t system_us = 0;
  std::int64_t max_rss_bytes = 0;  ///< of the largest process among it and its waited-for descendants
  std::uint64_t major_faults = 0;
  std::uint64_t minor_faults = 0;
};

/// Owns a child process by its pidfd. The destructor kills it (SIGKILL) and reaps it.
class ChildProcess {
 public:
  ChildProcess() = default;
  ChildProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess() { kill_and_reap(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Readable (poll, epoll) when the process has ended.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  explicit operator bool() const { return pid_ > 0; }
  /// pidfd_send_signal(2); a process that has ended is no error.
  void signal(int number) const;
  /// Waits for the end and reaps. With `block` false: nullopt while it still runs.
  std::optional<ProcessEnd> reap(bool block = true);
  void kill_and_reap();

 private:
  pid_t pid_ = 0;
  UniqueFd pidfd_;
};

/// A user namespace without a process in it, for idmapped mounts: root of the namespace is `first_host_id` outside, `count` ids on. Needs
/// CAP_SETUID.
Result<UniqueFd> make_user_namespace(std::uint32_t first_host_id, std::uint32_t count);

/// Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22): with the pid it names a process for ever. nullopt: no
/// such process.
std::optional<std::uint64_t> process_start_time(pid_t pid);

/// Runs a host program to its end with stdin from /dev/null; its stdout and stderr are read (bounded to 64 KiB each). For small trusted
/// helpers (newuidmap).
struct ProgramResult {
  ProcessEnd end;
  std::string out;
  std::string err;
};
Result<ProgramResult> run_program(const std::vector<std::string>& argv, std::chrono::milliseconds timeout);

/// Whether the path is a file (through links) that we may execute.
[[nodiscard]] bool is_program(const std::string& path);
/// Where one of our programs belongs: beside the one that runs (proc(5), /proc/self/exe). It may not be there.
[[nodiscard]] std::string program_beside(std::string_view name);

/// The path of the first executable file `name` in $PATH, whose relative directories don't count; "" if there is none.
[[nodiscard]] std::string program_on_path(const std::string& name);

}  // namespace casemate
