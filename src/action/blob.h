// blob: a piece of content named by its digest, as REAPI's content-addressed storage has it (remote_execution.proto, Digest).
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace casemate {

/// SHA-256 and size of a piece of content.
struct BlobDigest {
  std::string hash;  ///< 64 lower-case hex digits
  std::uint64_t size = 0;
  auto operator<=>(const BlobDigest&) const = default;
};

/// Content and where it is: a file of this host, or at hand.
struct Blob {
  BlobDigest digest;
  std::string path;  ///< absolute; "": `bytes` it is
  std::string bytes;
  bool timeless = false;  ///< of the file: Python's bytecode, whose header counts as one without a time (action/bytecode.h)
};

}  // namespace casemate
