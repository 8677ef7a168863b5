// worker_facts: what a worker of an engine gives to its actions, found by trying it there. For `casemate doctor --remote`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// As an action's process sees it.
struct WorkerFacts {
  std::string kernel;              ///< uname(2), release
  std::string machine;             ///< uname(2): "x86_64"
  std::uint32_t uid = 0, gid = 0;  ///< geteuid(2), getegid(2)
  std::uint32_t cpus = 0;          ///< that may be used, sched_getaffinity(2)
  int user_namespace_problem = 0;  ///< errno of making one with this process' own ids mapped; 0: it works
  bool fresh_proc = false;         ///< in it a proc(5) of a pid namespace of its own can be mounted
  bool own_processes = false;      ///< only the action's own are to be seen in /proc
  bool has_network = false;        ///< a network interface beside lo
  bool at_root = false;            ///< the action's input root is "/"
  std::string covered;             ///< mount points over places that images have, with blanks between; "": none, or not at_root
  std::string python;              ///< path of python3 (program_on_path()); "": none

  bool operator==(const WorkerFacts&) const = default;
};

/// What to do where user namespaces are refused, for somebody who is root there or not.
[[nodiscard]] std::string_view namespaces_hint(bool root);

/// Looks at where this process, the job of an action, runs. One thread only: it forks.
[[nodiscard]] WorkerFacts look_at_worker();
/// The mount points of a mountinfo (proc_pid_mountinfo(5)) that lie over places where images have their programs; "": none.
[[nodiscard]] std::string covered_places(std::string_view mountinfo);
/// Lines of "name value".
[[nodiscard]] std::string facts_text(const WorkerFacts& facts);
/// The reverse, of a text that anybody may have written. corrupt: a line is missing or makes no sense.
Result<WorkerFacts> read_facts(std::string_view text);

}  // namespace casemate
