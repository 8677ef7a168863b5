// terminal: hostile bytes made safe for a person's screen.
#pragma once

#include <string>
#include <string_view>

namespace casemate {

/// `bytes` with everything that could drive a terminal made visible: control characters but newline and tab as \xNN, ESC among them,
/// C1 controls and invalid UTF-8 as \xNN, bidirectional overrides (CVE-2021-42574) as \u{N}.
[[nodiscard]] std::string printable(std::string_view bytes);
/// The same for a name on one line: newline and tab are escaped too.
[[nodiscard]] std::string printable_name(std::string_view bytes);
/// The same for a line of ours that quotes paths: of a word of more than 200 bytes only the beginning and the end, around "...".
[[nodiscard]] std::string printable_line(std::string_view bytes);
/// Valid UTF-8 from any bytes: each invalid byte becomes U+FFFD. For JSON strings.
[[nodiscard]] std::string to_utf8(std::string_view bytes);

}  // namespace casemate
