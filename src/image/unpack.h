// unpack: one layer of an OCI or docker image, as a registry keeps it, becomes a directory that overlayfs can take as a lower one.
// docs/design/images.md says which rules apply and why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// What a layer may cost. Past any of these it is refused, in the middle.
struct UnpackLimits {
  std::uint64_t bytes = 32ull << 30;  ///< of the tar, and of all files with their holes
  std::uint64_t entries = 2'000'000;  ///< of the tar
  std::size_t depth = 255;            ///< parts of a path: more, and the store does not take the tree
  std::size_t path_bytes = 4095;      ///< of a whole path
  std::uint64_t ratio = 200;          ///< bytes of the tar for each compressed one, asked from 8 MiB on; text has about 10
};

/// How a layer is to be unpacked, and what the image says that it must be.
struct UnpackOptions {
  UnpackLimits limits;
  bool keep_owners = false;      ///< the tar's numbers, by lchown(2); needs CAP_CHOWN. Ids that our user namespace lacks: noted, and ours
  std::string expected_digest;   ///< "sha256:<hex>" of the blob, from the manifest; "": not checked
  std::string expected_diff_id;  ///< "sha256:<hex>" of the tar, from the image's config; "": not checked
};

/// What became of a layer.
struct Unpacked {
  std::uint64_t files = 0;         ///< entries made that are no directories
  std::uint64_t bytes = 0;         ///< of regular files, holes included
  std::string digest;              ///< "sha256:<hex>" of the blob as read, to its end
  std::string diff_id;             ///< "sha256:<hex>" of the uncompressed tar
  bool hides_all_below = false;    ///< the layer's root is opaque, which overlayfs does not honour: leave out the layers below
  std::vector<std::string> notes;  ///< what was left out, one line a kind, with the first names
};

/// Unpacks the tar in `archive` (borrowed, read from its offset to its end: gzip, zstd or plain) into the empty directory `directory`
/// (borrowed, readable; ours alone while this runs), in memory that does not depend on the layer's size. On failure the directory is left
/// half full: all or nothing is the caller's part (Store::make_layer with this as its `fill`). Nothing outside `directory` is ever
/// touched, whatever the layer says. Errors: corrupt (damaged, not what the digests say, or links to what is not there), refused (hostile
/// paths, over a limit), not_supported (another compression; a file system without user xattrs), exhausted (disk full).
///
/// Whiteouts become overlayfs's, for a mount with `userxattr`. Left out and noted: devices, FIFOs, set-id bits, all xattrs but user.* (file
/// capabilities too), and of those user.overlay.*, which would be orders to the mount, and what is over 64 KiB an entry. As unprivileged
/// user and in a user namespace all of this works the same.
Result<Unpacked> unpack_layer(int archive, int directory, const UnpackOptions& options);

}  // namespace casemate
