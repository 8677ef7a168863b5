#include "base/terminal.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace casemate {
namespace {

// The length of the well-formed UTF-8 sequence at the front of `bytes` (Unicode 15, table 3-7) and its code point; 0 if there is none.
std::size_t decode(std::string_view bytes, std::uint32_t& point) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  const std::uint8_t lead = at(0);
  if (lead < 0x80) {
    point = lead;
    return 1;
  }
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || bytes.size() < length) return 0;
  point = lead & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    point = point << 6 | (at(i) & 0x3f);
  }
  const std::uint32_t least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return 0;
  return length;
}

bool bidirectional(std::uint32_t point) { return (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069); }

std::string escape(std::string_view bytes, bool one_line) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    std::uint32_t point = 0;
    const std::size_t length = decode(bytes, point);
    if (length == 0) {
      text += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(bytes[0]));
      bytes.remove_prefix(1);
      continue;
    }
    const bool layout = point == '\n' || point == '\t';
    if (layout && one_line) {
      text += point == '\n' ? "\\n" : "\\t";
    } else if ((point < 0x20 && !layout) || (point >= 0x7f && point < 0xa0)) {
      text += fmt::format("\\x{:02x}", point);
    } else if (bidirectional(point)) {
      text += fmt::format("\\u{{{:x}}}", point);
    } else {
      text.append(bytes.substr(0, length));
    }
    bytes.remove_prefix(length);
  }
  return text;
}

}  // namespace

std::string printable(std::string_view bytes) { return escape(bytes, false); }
std::string printable_name(std::string_view bytes) { return escape(bytes, true); }

std::string printable_line(std::string_view bytes) {
  constexpr std::size_t kLongest = 200, kHead = 120, kTail = 77;
  const std::string text = printable_name(bytes);
  const auto in_character = [&](std::size_t at) { return (static_cast<std::uint8_t>(text[at]) & 0xc0) == 0x80; };
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end - at <= kLongest) {
      line.append(text, at, end - at);
    } else {
      std::size_t head = at + kHead;
      std::size_t tail = end - kTail;
      while (in_character(head)) --head;
      while (tail < end && in_character(tail)) ++tail;
      line.append(text, at, head - at).append("...").append(text, tail, end - tail);
    }
    if (end < text.size()) line += ' ';
    at = end + 1;
  }
  return line;
}

std::string to_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    std::uint32_t point = 0;
    const std::size_t length = decode(bytes, point);
    if (length == 0) {
      text += "\xef\xbf\xbd";
      bytes.remove_prefix(1);
    } else {
      text.append(bytes.substr(0, length));
      bytes.remove_prefix(length);
    }
  }
  return text;
}

}  // namespace casemate
