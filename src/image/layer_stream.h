// layer_stream: the bytes of one layer's tar, out of the blob that a registry keeps: gzip, zstd or plain, told by the first bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "casemate/result.h"

namespace casemate {

/// How much a stream may grow. Zeros are limits too.
struct StreamLimits {
  std::uint64_t bytes = 0;  ///< of the tar
  std::uint64_t ratio = 0;  ///< bytes of the tar for each byte of the blob, asked once the tar is past kRatioFrom
};

/// Smaller streams may have any ratio: a few empty files are mostly zeros.
inline constexpr std::uint64_t kRatioFrom = 8u << 20;

/// Reads, digests and decompresses as a caller pulls: holds two buffers and the decompressor's window (zstd's default bound, 128 MiB),
/// whatever the blob says.
class LayerStream {
 public:
  /// `fd` is borrowed and read from its current offset to its end; a pipe will do.
  LayerStream(int fd, const StreamLimits& limits);
  ~LayerStream();
  LayerStream(const LayerStream&) = delete;
  LayerStream& operator=(const LayerStream&) = delete;

  /// The next bytes of the tar, valid until the next call; "" at the end. corrupt: the compressed stream is damaged, ends early, or has
  /// something behind it that is no further gzip member or zstd frame; refused: it grew past its limits; not_supported: bzip2 or xz.
  Result<std::string_view> next();

  /// What was read, all of it: call after next() gave "".
  struct Digests {
    std::string digest;       ///< "sha256:<hex>" of the blob
    std::string diff_id;      ///< "sha256:<hex>" of the tar
    std::uint64_t bytes = 0;  ///< of the blob
  };
  [[nodiscard]] Digests digests();

  /// One way of compression.
  class Decoder {
   public:
    virtual ~Decoder() = default;
    /// Turns some of `in`, which is shortened by that, into bytes at `out`, at most `room`; how many.
    virtual Result<std::size_t> decode(std::string_view& in, char* out, std::size_t room) = 0;
    /// True where the input may end.
    [[nodiscard]] virtual bool complete() const = 0;
  };

 private:
  Result<void> refill();
  Result<void> start();
  Result<void> account(std::string_view bytes);

  int fd_;
  StreamLimits limits_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<char> input_;
  std::vector<char> output_;
  std::string_view rest_;  // of input_
  bool input_ended_ = false;
  bool plain_ = false;  // blob and tar are the same bytes: one digest will do
  std::uint64_t read_ = 0;
  std::uint64_t made_ = 0;
  Sha256 blob_;
  Sha256 tar_;
};

}  // namespace casemate
