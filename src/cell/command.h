// command: argv, environment and the paths to try, packed into one block of memory that a process after clone can hand to execve as it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "casemate/job.h"

namespace casemate {

/// The header of a packed command; offsets are from the start of the block. Arrays hold offsets until relocate() made them pointers.
struct CommandBlock {
  std::uint64_t bytes;       ///< of the whole block
  std::uint64_t argv;        ///< offset of a NULL-terminated array
  std::uint64_t envp;        ///< the same
  std::uint64_t candidates;  ///< the same: paths to try in order
  std::uint64_t cwd;         ///< offset of a path; counts where a cell serves many commands (Plan::serves_commands)

  /// Turns the offsets in the three arrays into pointers. Once a block, in the address space that uses it. No allocation.
  void relocate();
  [[nodiscard]] char* const* array(std::uint64_t offset) const;
  [[nodiscard]] const char* directory() const { return reinterpret_cast<const char*>(this) + cwd; }
};

/// Packs a job's command. argv[0] without a slash gives one candidate a directory of PATH (empty parts mean the working directory, as in
/// POSIX). The vector's memory must be 8-byte aligned, as std::vector<uint64_t>'s is.
[[nodiscard]] std::vector<std::uint64_t> pack_command(const Job& job);

}  // namespace casemate
