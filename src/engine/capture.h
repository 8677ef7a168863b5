// capture: what a job writes to stdout and stderr, bounded, in order of arrival.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "casemate/outcome.h"

namespace casemate {

/// Keeps the head and the tail of two streams within one bound. Entirely passive: the executor reads the pipes and feeds it. When more than
/// `limit` bytes came in all, each stream and the merged text keep their first and last parts, with one line "[casemate: N bytes left out]"
/// between. Memory use stays below about 3 x limit whatever comes.
class Capture {
 public:
  explicit Capture(std::uint64_t limit);
  void add(Stream stream, std::string_view bytes);
  /// Bytes seen so far, kept or not.
  [[nodiscard]] std::uint64_t total() const;
  [[nodiscard]] bool over_limit() const;
  /// The result; the object is empty afterwards.
  [[nodiscard]] Output take();

 private:
  struct Kept {
    std::string head;
    std::string tail;  // ring of the last bytes once head is full
    std::size_t tail_start = 0;
    std::uint64_t total = 0;
  };
  void keep(Kept& kept, std::string_view bytes) const;
  [[nodiscard]] static std::string text(const Kept& kept);

  std::uint64_t limit_;
  Kept out_;
  Kept err_;
  Kept merged_;
};

}  // namespace casemate
