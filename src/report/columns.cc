#include "report/columns.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>

#include <sys/ioctl.h>
#include <unistd.h>

namespace casemate {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// Sorted. Emoji that are shown as pictures by default, and what UAX #11 calls W and F; gaps that nobody has filled are counted in.
constexpr Range kWide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x26aa, 0x26ab},
    {0x26bd, 0x26be},   {0x26c4, 0x26c5},   {0x26d4, 0x26d4},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},
    {0x2e80, 0x303e},   {0x3041, 0x4dbf},   {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe10, 0xfe19},   {0xfe30, 0xfe6f},   {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18cff}, {0x1b000, 0x1b2ff},
    {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f19a}, {0x1f200, 0x1f265}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f7e0, 0x1f7eb}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
};
// Combining marks of the scripts people write tests in, joiners, selectors.
constexpr Range kNothing[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x05bf, 0x05bf}, {0x05c1, 0x05c2},   {0x05c4, 0x05c5},
    {0x0610, 0x061a}, {0x064b, 0x065f}, {0x0670, 0x0670}, {0x06d6, 0x06dc}, {0x06df, 0x06e4},   {0x0900, 0x0902},
    {0x093c, 0x093c}, {0x0941, 0x0948}, {0x094d, 0x094d}, {0x0e31, 0x0e31}, {0x0e34, 0x0e3a},   {0x0e47, 0x0e4e},
    {0x1160, 0x11ff}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0000, 0xe0fff},
};

template <std::size_t N>
bool in(const Range (&ranges)[N], std::uint32_t point) {
  const auto* after =
      std::upper_bound(std::begin(ranges), std::end(ranges), point, [](std::uint32_t p, const Range& r) { return p < r.first; });
  return after != std::begin(ranges) && point <= std::prev(after)->last;
}

std::size_t columns_of_point(std::uint32_t point) {
  if (point < 0x300) return 1;
  return in(kNothing, point) ? 0 : in(kWide, point) ? 2 : 1;
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// The code point at `at`, which is moved behind it. Of bytes that are no UTF-8, one at a time.
std::uint32_t next_point(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0xc0) return lead;
  std::uint32_t point = lead & (lead >= 0xf0 ? 0x07 : lead >= 0xe0 ? 0x0f : 0x1f);
  while (at < text.size() && continues(text[at])) point = point << 6 | (static_cast<unsigned char>(text[at++]) & 0x3f);
  return point;
}

}  // namespace

Screen screen_of(int fd) {
  struct winsize size{};
  Screen screen;
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0) return screen;
  if (size.ws_col > 0) screen.columns = size.ws_col;
  if (size.ws_row > 0) screen.rows = size.ws_row;
  return screen;
}

bool can_move_cursor(int fd) {
  const char* terminal = std::getenv("TERM");
  return ::isatty(fd) == 1 && terminal && *terminal && std::string_view(terminal) != "dumb";
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) columns += columns_of_point(next_point(text, at));
  return columns;
}

std::string end_within(std::string_view text, std::size_t columns) {
  std::size_t width = columns_of(text);
  if (width <= columns) return std::string(text);
  if (columns <= 3) return std::string(columns, '.');
  std::size_t at = 0;
  while (at < text.size() && width > columns - 3) width -= columns_of_point(next_point(text, at));
  return "..." + std::string(text.substr(at));
}

std::string begin_within(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns <= 3) return std::string(columns, '.');
  std::size_t width = 0;
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size(); end = at) {
    width += columns_of_point(next_point(text, at));
    if (width > columns - 3) break;
  }
  return std::string(text.substr(0, end)) + "...";
}

std::string rule(std::string_view text, char fill, std::size_t columns) {
  constexpr std::size_t kLeast = 3;
  const std::size_t width = columns_of(text) + 2;
  const std::size_t left = std::max(kLeast, columns > width ? (columns - width) / 2 : 0);
  const std::size_t right = std::max(kLeast, columns > width + left ? columns - width - left : 0);
  return std::string(left, fill) + " " + std::string(text) + " " + std::string(right, fill);
}

}  // namespace casemate
