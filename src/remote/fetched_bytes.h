// fetched_bytes: an output of an action, as text in memory or, if it is large, in a file without a name.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "remote/engine.h"
#include "sys/fd.h"

namespace casemate {

/// Bytes that are here.
class FetchedBytes {
 public:
  FetchedBytes() = default;
  explicit FetchedBytes(std::string bytes) : bytes_(std::move(bytes)), size_(bytes_.size()) {}
  /// `directory` is where a large one lies until this goes.
  static Result<FetchedBytes> fetch(RemoteEngine& engine, const BlobDigest& digest, const std::string& directory,
                                    const std::stop_token& stop);
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// At most `most` bytes from `at`; fewer at the end or where the disk fails.
  [[nodiscard]] std::string read(std::uint64_t at, std::uint64_t most) const;
  /// Whether these words are somewhere in it.
  [[nodiscard]] bool contains(std::string_view words) const;

 private:
  std::string bytes_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
};

}  // namespace casemate
