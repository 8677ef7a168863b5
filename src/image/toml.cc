#include "image/toml.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr int kMostDots = 32;  // toml++ takes tables in tables down recursively

// A key of too many parts, outside of strings and comments.
std::optional<TomlProblem> find_long_key(std::string_view text) {
  std::size_t line = 1;
  int dots = 0;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char next = text[at];
    if (next == '"' || next == '\'') {
      const std::string_view quote = text.substr(at, 3) == std::string(3, next) ? text.substr(at, 3) : text.substr(at, 1);
      std::size_t end = at + quote.size();
      while (end < text.size() && text.substr(end, quote.size()) != quote && (quote.size() == 3 || text[end] != '\n'))
        end += next == '"' && text[end] == '\\' ? 2 : 1;
      end = std::min(end, text.size());
      line += static_cast<std::size_t>(std::count(text.begin() + static_cast<long>(at), text.begin() + static_cast<long>(end), '\n'));
      at = text.substr(end, quote.size()) == quote ? end + quote.size() - 1 : end - 1;
    } else if (next == '#') {
      at = std::min(text.find('\n', at), text.size()) - 1;
    } else if (next == '.') {
      if (++dots > kMostDots) return TomlProblem{line, fmt::format("a key of more than {} parts", kMostDots)};
    } else if (next == '\n' || next == ',' || next == '{' || next == '}') {
      dots = 0;
      line += next == '\n' ? 1 : 0;
    }
  }
  return std::nullopt;
}

}  // namespace

std::expected<toml::table, TomlProblem> parse_toml(std::string_view text) {
  if (auto problem = find_long_key(text)) return std::unexpected(std::move(*problem));
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) return std::unexpected(TomlProblem{parsed.error().source().begin.line, printable_line(parsed.error().description())});
  return std::move(parsed).table();
}

}  // namespace casemate
