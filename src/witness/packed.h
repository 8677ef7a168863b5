// packed: numbers and texts of any bytes one after the other, for what casemate and its witness tell each other in files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace casemate {

/// Numbers are eight bytes, the least first; a text is its length and its bytes.
class PackedWriter {
 public:
  void number(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>((value >> shift) & 0xff);
  }
  void text(std::string_view bytes) {
    number(bytes.size());
    bytes_ += bytes;
  }
  [[nodiscard]] std::string take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// The reverse, of bytes that anybody may have written: what is not there is 0 or "", and sound() is false from then on.
class PackedReader {
 public:
  explicit PackedReader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number() {
    if (rest_.size() < 8) return spoil(), 0;
    std::uint64_t value = 0;
    for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(rest_[static_cast<std::size_t>(i)]);
    rest_.remove_prefix(8);
    return value;
  }
  std::string_view text() {
    const std::uint64_t length = number();
    if (length > rest_.size()) return spoil(), std::string_view();
    const std::string_view found = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return found;
  }
  /// How many things follow, each of at least `least` bytes: a number that the rest can't hold is none.
  std::uint64_t count(std::uint64_t least = 8) {
    const std::uint64_t value = number();
    if (value > rest_.size() / least) return spoil(), 0;
    return value;
  }
  [[nodiscard]] bool sound() const { return sound_; }
  [[nodiscard]] bool at_end() const { return sound_ && rest_.empty(); }

 private:
  void spoil() {
    sound_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool sound_ = true;
};

}  // namespace casemate
