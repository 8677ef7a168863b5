// copy: the bytes of one file, read once: into another file, a digest, or both; and the comparison of two files.
#pragma once

#include <cstdint>
#include <string>

namespace casemate {

/// What became of one copy. errno values, 0 for success.
struct Copied {
  std::uint64_t size = 0;  ///< bytes seen, holes included
  std::string digest;      ///< "sha256:<hex>", "" if not asked for or not all could be read
  int read_error = 0;
  int write_error = 0;  ///< the target is incomplete; reading went on for the digest if one was asked for
};

/// Copies and compares files through one buffer. The fds are borrowed and must be regular files.
class Copier {
 public:
  Copier() : buffer_(256 << 10, '\0'), other_(64 << 10, '\0') {}
  /// Reads `from` from its start to its end, at most `size` bytes. `to` is an empty new file, or -1. Holes (SEEK_HOLE) stay holes. Without
  /// a digest the kernel copies (copy_file_range), which shares blocks where the filesystem can.
  Copied copy(int from, int to, std::uint64_t size, bool digest);
  /// True if both have the same `size` first bytes, and nothing failed.
  bool same(int a, int b, std::uint64_t size);

 private:
  std::string buffer_;
  std::string other_;
};

}  // namespace casemate
