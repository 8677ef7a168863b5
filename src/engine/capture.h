// capture: what a job writes to stdout and stderr, bounded, in order of arrival.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "casemate/outcome.h"

namespace casemate {

/// Keeps the head and the tail of two streams, and of both merged, within a bound. Entirely passive: the executor reads the pipes and feeds
/// it. Each of the three texts is held to `limit` bytes by itself, so a flood on one stream does not push out what the other said: a text
/// of at most `limit` bytes is kept whole; of a longer one the first limit/2 and the last limit - limit/2 bytes stay, with the line
/// "[casemate: N bytes left out]" between them (it comes on top). Memory use stays below about 3 x limit whatever comes.
class Capture {
 public:
  /// `limit` in bytes; 0 keeps nothing and still counts.
  explicit Capture(std::uint64_t limit);
  /// Takes what arrived on one stream, in any pieces. Fails never; throws nothing but std::bad_alloc.
  void add(Stream stream, std::string_view bytes);
  /// Bytes seen so far, kept or not.
  [[nodiscard]] std::uint64_t total() const;
  /// More than `limit` bytes came in all, both streams together.
  [[nodiscard]] bool over_limit() const;
  /// The result, `truncated` as over_limit(); the object is empty afterwards.
  [[nodiscard]] Output take();

 private:
  struct Kept {
    std::string head;
    std::string tail;  // ring of the last bytes once head is full
    std::size_t tail_start = 0;
    std::uint64_t total = 0;
  };
  void keep(Kept& kept, std::string_view bytes) const;
  [[nodiscard]] static std::string text(Kept kept);

  std::uint64_t limit_;
  Kept out_;
  Kept err_;
  Kept merged_;
};

}  // namespace casemate
