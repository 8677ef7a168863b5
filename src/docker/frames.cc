#include "docker/frames.h"

#include <algorithm>

#include "base/terminal.h"

namespace casemate {

Result<void> FrameReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ == 0 && head_bytes_ < sizeof head_) {
      head_[head_bytes_++] = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      if (head_bytes_ < sizeof head_) continue;
      if (head_[0] > 3 || head_[1] != 0 || head_[2] != 0 || head_[3] != 0)
        return fail(ErrorCode::corrupt, "the daemon's stream of a container's output has a frame that the Engine API does not know");
      left_ = std::uint64_t{head_[4]} << 24 | std::uint64_t{head_[5]} << 16 | std::uint64_t{head_[6]} << 8 | head_[7];
      if (left_ == 0) head_bytes_ = 0;
      continue;
    }
    const std::string_view piece = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
    if (head_[0] == 3) return fail(ErrorCode::system, "the daemon says: " + printable_line(piece.substr(0, 400)));
    take_(head_[0] == 2 ? Stream::err : Stream::out, piece);
    bytes.remove_prefix(piece.size());
    left_ -= piece.size();
    if (left_ == 0) head_bytes_ = 0;
  }
  return {};
}

Result<void> FrameReader::end() const {
  if (head_bytes_ == 0) return {};
  return fail(ErrorCode::corrupt, "the daemon's stream of a container's output broke off");
}

}  // namespace casemate
