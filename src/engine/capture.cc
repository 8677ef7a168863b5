#include "engine/capture.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace casemate {
namespace {

// Appends, never reserving more than `bound`: std::string's doubling alone could take twice the limit.
void append_bounded(std::string& text, std::string_view bytes, std::uint64_t bound) {
  const std::uint64_t wanted = text.size() + bytes.size();
  if (wanted > text.capacity()) text.reserve(static_cast<std::size_t>(std::min(std::max<std::uint64_t>(wanted, 2 * text.size()), bound)));
  text.append(bytes);
}

}  // namespace

Capture::Capture(std::uint64_t limit) : limit_(limit) {}

void Capture::add(Stream stream, std::string_view bytes) {
  keep(stream == Stream::err ? err_ : out_, bytes);
  keep(merged_, bytes);
}

std::uint64_t Capture::total() const { return merged_.total; }

bool Capture::over_limit() const { return merged_.total > limit_; }

void Capture::keep(Kept& kept, std::string_view bytes) const {
  kept.total += bytes.size();
  const std::uint64_t head_limit = limit_ / 2;
  const std::uint64_t tail_limit = limit_ - head_limit;
  const std::uint64_t into_head = std::min<std::uint64_t>(head_limit - kept.head.size(), bytes.size());
  append_bounded(kept.head, bytes.substr(0, into_head), head_limit);
  bytes.remove_prefix(into_head);
  if (tail_limit == 0) return;
  // Only the last tail_limit bytes can survive; what they push out need not pass through the ring.
  if (bytes.size() > tail_limit) bytes.remove_prefix(bytes.size() - tail_limit);
  const std::uint64_t into_free = std::min<std::uint64_t>(tail_limit - kept.tail.size(), bytes.size());
  append_bounded(kept.tail, bytes.substr(0, into_free), tail_limit);
  bytes.remove_prefix(into_free);
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), kept.tail.size() - kept.tail_start);
    bytes.copy(kept.tail.data() + kept.tail_start, piece);
    kept.tail_start = (kept.tail_start + piece) % kept.tail.size();
    bytes.remove_prefix(piece);
  }
}

std::string Capture::text(Kept kept) {
  const std::uint64_t left_out = kept.total - kept.head.size() - kept.tail.size();
  std::string text = std::move(kept.head);
  if (left_out > 0) {
    if (!text.empty() && text.back() != '\n') text += '\n';
    text += fmt::format("[casemate: {} bytes left out]\n", left_out);
  }
  text.reserve(text.size() + kept.tail.size());
  text.append(kept.tail, kept.tail_start);
  text.append(kept.tail, 0, kept.tail_start);
  return text;
}

Output Capture::take() {
  Output output;
  output.out_total = out_.total;
  output.err_total = err_.total;
  output.truncated = over_limit();
  output.out = text(std::exchange(out_, {}));
  output.err = text(std::exchange(err_, {}));
  output.merged = text(std::exchange(merged_, {}));
  return output;
}

}  // namespace casemate
