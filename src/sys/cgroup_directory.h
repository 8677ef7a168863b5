// cgroup_directory: one cgroup as a directory of control files: read, write, kill what is inside, remove. The same on v1 and v2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "sys/fd.h"

namespace casemate {

/// Writes one value to a control file ("casemate-1-2-3/memory.max" below `directory`); 0 or errno. Never creates a file.
[[nodiscard]] int write_control(int directory, const std::string& file, std::string_view value);
/// The first 4096 bytes of a control file; nullopt if it is missing or can't be read.
[[nodiscard]] std::optional<std::string> read_control(int directory, const std::string& file);
/// The number that a control file consists of; nullopt if missing or not a number ("max").
[[nodiscard]] std::optional<std::uint64_t> read_control_number(int directory, const std::string& file);
/// The number after `key` in lines of "key number" (memory.events, cpu.stat, memory.oom_control); nullopt if there is none.
[[nodiscard]] std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view key);

/// Sends SIGKILL to every process of the cgroup `name` below `parent` and of its children, and waits until there is none or `wait_ms` are
/// over. True if it is empty. A process is killed by a pidfd that was open while the cgroup still listed it, so a reused pid is never hit;
/// the calling process is left alone. Processes of other pid namespaces are not visible here and stay.
bool kill_cgroup(int parent, const std::string& name, int wait_ms = 5000);

/// Removes the cgroup `name` below `parent` and its children. What is inside is killed first if need be; EBUSY, which Linux 6 gives for a
/// moment after the last process has gone, is retried for 250 ms. True if it is gone.
bool remove_cgroup(int parent, const std::string& name);

/// When the process of a /proc/PID/stat text started, in clock ticks since boot (field 22); nullopt if the text is none, or that of a
/// process of which only the zombie is left: for cgroups it is dead, whoever should reap it.
[[nodiscard]] std::optional<std::uint64_t> parse_start_time(std::string_view stat);

}  // namespace casemate
