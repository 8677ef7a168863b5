// frames: the Engine API's stream of a container without a terminal: stdout and stderr in frames of an 8-byte head ("Attach to a container"
// in the API's reference: stream type, three zeros, length in big-endian order).
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "casemate/outcome.h"
#include "casemate/result.h"

namespace casemate {

/// Takes the stream in any pieces and hands on what is in the frames, without keeping it.
class FrameReader {
 public:
  using Take = std::function<void(Stream, std::string_view)>;
  explicit FrameReader(Take take) : take_(std::move(take)) {}
  /// corrupt: no head that the API knows. Frames of stdin (type 0) count as stdout; type 3 (systemerr) is an error with the daemon's words.
  Result<void> feed(std::string_view bytes);
  /// corrupt: the stream ended within a frame.
  [[nodiscard]] Result<void> end() const;

 private:
  Take take_;
  unsigned char head_[8] = {};
  std::size_t head_bytes_ = 0;
  std::uint64_t left_ = 0;
};

}  // namespace casemate
