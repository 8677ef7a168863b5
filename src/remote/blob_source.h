// blob_source: a blob's content from where it is, checked while it is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "action/blob.h"
#include "base/digest.h"
#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Reads a blob from its start to its end, once.
class BlobSource {
 public:
  /// The blob must outlive it. Errors as open(2).
  static Result<BlobSource> open(const Blob& blob);
  /// Appends at most `most` bytes to `out`. What is not what its digest says, a file that has changed, is `corrupt`: told with or before
  /// the last of its bytes.
  Result<void> read(std::size_t most, std::string& out);
  [[nodiscard]] bool at_end() const { return left_ == 0; }
  [[nodiscard]] std::uint64_t read_so_far() const { return blob_->digest.size - left_; }

 private:
  explicit BlobSource(const Blob& blob) : blob_(&blob), left_(blob.digest.size) {}
  Result<void> finish();

  const Blob* blob_;
  UniqueFd file_;
  std::string begins_;  // what stands in place of the file's first bytes, as far as it has not been read
  std::uint64_t left_;
  Sha256 hash_;
};

}  // namespace casemate
