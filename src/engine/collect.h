// collect: changed files out of a cell's writable layer (an overlay's upper directory), after its last process is dead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

struct CollectOptions {
  std::string destination;                     ///< host directory to copy into; made if missing; "" lists only
  std::vector<std::string> lower;              ///< the overlay's lower directories on the host: tells created from modified, finds what is under an opaque one
  std::uint64_t max_entries = 100'000;         ///< more sets `truncated`
  std::uint64_t max_file_bytes = 4ull << 30;   ///< apparent size; larger is skipped and named
  std::uint64_t max_total_bytes = 16ull << 30;  ///< of data copied
  std::uint32_t max_depth = 512;               ///< deeper is skipped and named
  bool digests = true;                         ///< sha256 of each file
};

struct Collected {
  std::vector<Change> changes;  ///< sorted by path, bytewise
  bool truncated = false;
  std::string problem;  ///< the first thing that kept a file from being copied (destination full, not writable), "" if none
};

/// Walks the directory open as `upper_fd` (an overlay upper: char device 0:0 is a whiteout, user.overlay.opaque="y" or trusted.overlay.opaque an
/// opaque directory) with openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV and O_NOFOLLOW | O_NONBLOCK. Regular files are copied
/// (holes stay holes; set-id bits dropped; new files 0666/0777 & ~umask by the owner's x bit; never through a symlink in `destination`),
/// symlinks are re-made as links, never followed, FIFOs, sockets and devices are skipped and named. Two names of one inode become two files.
/// Fails only if `upper_fd` itself or `destination` can't be used; all else is said in the result.
Result<Collected> collect(int upper_fd, const CollectOptions& options);

}  // namespace casemate
