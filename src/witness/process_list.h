// process_list: the processes that a witness sees, from proc(5).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <sys/types.h>

namespace casemate {

/// A small file of the kernel's; "" if it can't be read.
[[nodiscard]] std::string small_file(const std::string& path);

/// What proc_pid_stat(5) says of a process.
struct ProcessFacts {
  std::string name;
  char state = '?';
  pid_t parent = 0;
  pid_t session = 0;
  std::uint64_t cpu_ticks = 0;  ///< user and system, its own and of children that it has waited for
  std::uint64_t threads = 0;
};
[[nodiscard]] std::optional<ProcessFacts> facts_of(pid_t pid);

[[nodiscard]] std::set<pid_t> all_processes();

/// A process and what is known of it.
struct SeenProcess {
  pid_t pid = 0;
  ProcessFacts facts;
};
/// All that descend from the process `top`, itself not among them, those that have ended neither. With PR_SET_CHILD_SUBREAPER set there
/// that is all that it ever started and that still runs (prctl(2)).
[[nodiscard]] std::vector<SeenProcess> descendants(pid_t top);

/// Becomes that command (execve(2), with the PATH of the environment); only an errno comes back. As the shell: the last name that is there
/// but can't be executed decides.
[[nodiscard]] int execute_command(const std::vector<std::string>& command);

}  // namespace casemate
