// collect: changed files out of a cell's writable layer (an overlay's upper directory), after its last process is dead.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/stat.h>

#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

/// How an entry of a writable layer looked when it was walked.
struct SeenEntry {
  /// What changes when somebody changes it: nobody can set a ctime.
  struct Look {
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::uint64_t mode = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const Look&) const = default;
  };
  Look look;
  bool settled = false;  ///< nobody can have changed it once more in the same tick of the clock, without it looking otherwise
  Change change;         ///< against the lower layers
  bool changed = false;  ///< false: nothing is in `change` but what it is: it is the same as in these
  bool same = false;     ///< as at the walk before, by its look
};

/// By path, as Change::path.
using SeenTree = std::unordered_map<std::string, SeenEntry>;

/// Where changed files go, and the bounds on a tree that a job made.
struct CollectOptions {
  std::string destination;  ///< host directory to copy into; made if missing; "" lists only
  int destination_fd = -1;  ///< the same directory, opened before the job ran, when nobody could have put another there; borrowed. -1: it
                            ///< is opened by its name
  std::vector<std::string> lower;  ///< the overlay's lower directories on the host, topmost first: tells created from modified, finds what
                                   ///< is under an opaque one
  std::uint64_t max_entries = 100'000;          ///< entries looked at; more sets `truncated`
  std::uint64_t max_file_bytes = 4ull << 30;    ///< apparent size; larger is skipped and named
  std::uint64_t max_total_bytes = 16ull << 30;  ///< apparent sizes of all files read, holes included: bounds the time as well as the room;
                                                ///< what goes over is skipped and named
  std::uint32_t max_depth = 512;    ///< a directory at this depth (1: directly in the upper) is skipped and named, with all that is in it
  bool digests = true;              ///< sha256 of each file
  std::vector<std::string> within;  ///< paths as Change::path: only what lies at or below one of them; empty: all
  const SeenTree* untouched = nullptr;  ///< what looks as there, and a directory that is there, is no change
  SeenTree* known = nullptr;  ///< of the walk before (not with a destination): what looks the same is not read again, and moves to `seen`
  SeenTree* seen = nullptr;   ///< receives all that lies in the layer, and what is deleted by it, in place of CollectedFiles::changes
  std::stop_token stop;       ///< when asked to stop: no further entry is taken, the result is truncated and says so in `problem`
};

/// What a walk found and, with a destination, copied.
struct CollectedFiles {
  std::vector<Change> changes;  ///< sorted by path, bytewise
  bool truncated = false;       ///< there are changes that are not in the list
  std::string problem;  ///< one line: the first thing that kept a file from being copied (destination full, not writable, name taken), ""
                        ///< if none; each entry so hit has a `reason` too
};

/// Walks the directory open as `upper_fd` (an overlay upper: char device 0:0 is a whiteout, user.overlay.opaque="y" or
/// trusted.overlay.opaque an opaque directory) with openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
/// and O_NOFOLLOW | O_NONBLOCK. Regular files are copied (holes stay holes; set-id bits dropped; new files 0666/0777 & ~umask by the
/// owner's x bit; mtime kept; never through a symlink in `destination`, never over something that is there), symlinks are re-made as links,
/// never followed, FIFOs, sockets and devices are skipped and named. Two names of one inode become two files. Paths of PATH_MAX or more are
/// skipped and named.
///
/// What is a change: an entry whose type, mode (set-id bits too) or content (bytes, link target) differs from the lower layers'; the kernel
/// copies a file up when it is merely opened for writing or touched, and that alone is none. A directory is a change only if it was
/// created; one that replaces a file is `modified`. A removed directory is one `deleted` entry. With no `lower` all is created, and a
/// whiteout is a deleted file.
///
/// Files of mode 000 that we own are read all the same; modes are given back. Fails only if `upper_fd` itself or `destination` can't be
/// used; all else is said in the result.
Result<CollectedFiles> collect(int upper_fd, const CollectOptions& options);

}  // namespace casemate
