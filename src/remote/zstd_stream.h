// zstd_stream: Zstandard (RFC 8878) in pieces, for contents that travel compressed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// Makes one frame of what it is given, at the level that is quicker than most networks. The same pieces give the same bytes.
class ZstdCompression {
 public:
  ZstdCompression();
  /// Appends to `out` what is ready; `last`: nothing follows.
  void add(std::string_view bytes, bool last, std::string& out);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

/// Reads frames that somebody else made.
class ZstdExpansion {
 public:
  ZstdExpansion();
  /// Appends to `out`, to which no more than `most` bytes may be added: more is `corrupt`, as is what is no Zstandard.
  Result<void> add(std::string_view bytes, std::uint64_t most, std::string& out);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

/// Whether content that begins so is worth compressing: a sample shrinks by a tenth or more.
[[nodiscard]] bool shrinks(std::string_view beginning);
/// All of it as one frame.
[[nodiscard]] std::string zstd_compressed(std::string_view bytes);

}  // namespace casemate
