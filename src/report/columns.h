// columns: how many columns of a terminal a text takes, and texts cut to fit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace casemate {

/// The size of a terminal, in characters.
struct Screen {
  std::size_t columns = 80;
  std::size_t rows = 24;
  bool operator==(const Screen&) const = default;
};

/// What ioctl_tty(2) TIOCGWINSZ says of `fd`; 80 x 24 where it is no terminal or doesn't know.
[[nodiscard]] Screen screen_of(int fd);

/// Whether lines on `fd` can be written over: it is a terminal, and TERM is set and not "dumb".
[[nodiscard]] bool can_move_cursor(int fd);

/// Columns that `text` takes: 2 for East Asian wide characters and emoji, 0 for combining marks (Unicode 15, UAX #11). `text` is printable
/// (base/terminal.h). Terminals differ for sequences of emoji: never rely on it for the place of a cursor.
[[nodiscard]] std::size_t columns_of(std::string_view text);

/// `text` in at most `columns`, with the end kept: "...::test_c[1]". Of a name the end tells more.
[[nodiscard]] std::string end_within(std::string_view text, std::size_t columns);

/// `text` in at most `columns`, with the beginning kept: "AssertionError: ass...".
[[nodiscard]] std::string begin_within(std::string_view text, std::size_t columns);

/// " text " in the middle of a line of `fill`, `columns` wide; at least three of `fill` on each side.
[[nodiscard]] std::string rule(std::string_view text, char fill, std::size_t columns);

}  // namespace casemate
