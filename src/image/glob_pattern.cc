#include "image/glob_pattern.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/terminal.h"
#include "image/brace_expansion.h"

namespace casemate {
namespace {

constexpr std::size_t kLongest = 4096;

std::unexpected<Error> problem(std::string_view pattern, std::string_view what) {
  return fail(ErrorCode::invalid_input, fmt::format("the pattern '{}' {}", printable_line(pattern), what));
}

// One character and how many bytes it has. What is no UTF-8 is a character of its own, beyond all that Unicode has.
struct Character {
  std::uint32_t value;
  std::size_t length;
};

Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xc2 && first < 0xe0 ? 2 : 0;
  if (length == 0 || at + length > text.size()) return {0x11'0000u + first, 1};
  std::uint32_t value = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {0x11'0000u + first, 1};
    value = value << 6 | (byte(at + i) & 0x3fu);
  }
  return {value, length};
}

// "./a//b/" is "a/b"; "/" stays.
std::string tidied(std::string_view text) {
  std::string tidy(text.starts_with('/') ? 1 : 0, '/');
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    const std::string_view part = text.substr(0, slash);
    text.remove_prefix(std::min(slash + 1, text.size()));
    if (part.empty() || part == ".") continue;
    if (!tidy.empty() && tidy != "/") tidy += '/';
    tidy += part;
  }
  return tidy;
}

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<GlobPattern> GlobPattern::compile(std::string_view text) {
  if (text.size() > kLongest) return problem(text, fmt::format("is longer than {} bytes", kLongest));
  if (text.find('\0') != std::string_view::npos) return problem(text, "holds a NUL byte");
  GlobPattern pattern;
  TRY_ASSIGN(const std::vector<std::string> texts, expand_braces(text, true));
  for (const std::string& alternative : texts) {
    const std::string tidy = tidied(alternative);
    if (tidy.empty()) return problem(text, "is empty; ** is every file");
    TRY_ASSIGN(Alternative compiled, compile_alternative(tidy, text));
    pattern.alternatives_.push_back(std::move(compiled));
  }
  const std::string tidy = tidied(text);
  const std::size_t special = std::min(tidy.find_first_of("*?[{\\"), tidy.size());
  const std::size_t slash = std::string_view(tidy).substr(0, special).rfind('/');
  if (slash != std::string::npos) pattern.fixed_directory_ = slash == 0 ? "/" : tidy.substr(0, slash);
  return pattern;
}

Result<GlobPattern::Alternative> GlobPattern::compile_alternative(std::string_view text, std::string_view whole) {
  Alternative made;
  TRY_ASSIGN(made.tokens, tokens_of(text, whole));
  for (const std::string_view part : parts_of(text)) {
    made.parts.push_back(without_escapes(part));
    made.bounded = made.bounded && part.find("**") == std::string_view::npos;
    if (!made.bounded) continue;
    TRY_ASSIGN(std::vector<Token> tokens, tokens_of(part, whole));
    made.leading.push_back(std::move(tokens));
  }
  made.takes_all = text == "**" || text.ends_with("/**");
  if (text.size() > 3 && made.takes_all) {
    TRY_ASSIGN(made.all_below, tokens_of(text.substr(0, text.size() - 3), whole));
  }
  return made;
}

Result<std::vector<GlobPattern::Token>> GlobPattern::tokens_of(std::string_view text, std::string_view whole) {
  std::vector<Token> tokens;
  const auto add = [&](Token::Kind kind) { tokens.push_back({.kind = kind}); };
  for (std::size_t at = 0; at < text.size();) {
    const char next = text[at];
    if (next == '*') {
      const std::size_t end = std::min(text.find_first_not_of('*', at), text.size());
      const bool whole_part = end - at == 2 && (at == 0 || text[at - 1] == '/') && end < text.size() && text[end] == '/';
      add(end - at == 1 ? Token::Kind::star : whole_part ? Token::Kind::directories : Token::Kind::any_bytes);
      at = end + (whole_part ? 1 : 0);
    } else if (next == '?') {
      add(Token::Kind::any_character);
      ++at;
    } else if (next == '[') {
      TRY_ASSIGN(Token token, class_at(text, at, whole));
      tokens.push_back(std::move(token));
    } else {
      if (next == '\\' && ++at == text.size()) return problem(whole, "ends in a backslash");
      const Character character = character_at(text, at);
      tokens.push_back({.kind = Token::Kind::character, .character = character.value});
      at += character.length;
    }
  }
  return tokens;
}

Result<GlobPattern::Token> GlobPattern::class_at(std::string_view text, std::size_t& at, std::string_view whole) {
  Token token{.kind = Token::Kind::one_of};
  ++at;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) {
    token.negated = true;
    ++at;
  }
  const auto member = [&]() -> std::optional<std::uint32_t> {
    if (at < text.size() && text[at] == '\\') ++at;
    if (at >= text.size()) return std::nullopt;
    const Character character = character_at(text, at);
    at += character.length;
    return character.value;
  };
  for (bool first = true;; first = false) {
    if (at < text.size() && text[at] == ']' && !first) {
      ++at;
      return token;
    }
    const auto low = member();
    if (!low) return problem(whole, "has a '[' that is never closed; write \\[ for the character");
    auto high = low;
    if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']') {
      ++at;
      high = member();
    }
    if (!high || *high < *low) return problem(whole, "has a range from a higher to a lower character");
    if (*low == '/' && *high == '/') return problem(whole, "has a '/' in brackets, which no name holds");
    token.ranges.emplace_back(*low, *high);
  }
}

// Where the match goes wrong, the last `*` takes one character more, or if it may not, the last `**` does. Those before them need not be
// asked again: a `*` ends at its part's end wherever it begins, and what a later `**` can't reach no earlier one makes it reach.
bool GlobPattern::match(const std::vector<Token>& tokens, std::string_view path) {
  struct Retry {
    std::size_t token;
    std::size_t at;
  };
  std::optional<Retry> star;
  std::optional<Retry> any;
  std::size_t token = 0;
  std::size_t at = 0;
  const auto go_on = [&] {
    if (star && star->at < path.size() && path[star->at] != '/') {
      star->at += character_at(path, star->at).length;
      token = star->token + 1;
      at = star->at;
      return true;
    }
    star.reset();
    if (!any) return false;
    std::size_t next = any->at + 1;
    if (tokens[any->token].kind == Token::Kind::directories) {
      const std::size_t slash = path.find('/', any->at);
      if (slash == std::string_view::npos) return false;
      next = slash + 1;
    }
    if (next > path.size()) return false;
    any->at = at = next;
    token = any->token + 1;
    return true;
  };
  for (;;) {
    if (token == tokens.size()) {
      if (at == path.size()) return true;
      if (!go_on()) return false;
      continue;
    }
    const Token& wanted = tokens[token];
    if (wanted.kind == Token::Kind::star) {
      star = Retry{token++, at};
      continue;
    }
    if (wanted.kind == Token::Kind::any_bytes || wanted.kind == Token::Kind::directories) {
      any = Retry{token++, at};
      star.reset();
      continue;
    }
    bool fits = at < path.size();
    if (fits) {
      const Character here = character_at(path, at);
      if (wanted.kind == Token::Kind::character) {
        fits = here.value == wanted.character;
      } else if (here.value == '/') {
        fits = false;
      } else if (wanted.kind == Token::Kind::one_of) {
        const bool member = std::any_of(wanted.ranges.begin(), wanted.ranges.end(),
                                        [&](const auto& range) { return range.first <= here.value && here.value <= range.second; });
        fits = member != wanted.negated;
      }
      if (fits) {
        at += here.length;
        ++token;
        continue;
      }
    }
    if (!go_on()) return false;
  }
}

bool GlobPattern::matches(std::string_view path) const {
  return std::any_of(alternatives_.begin(), alternatives_.end(),
                     [&](const Alternative& alternative) { return match(alternative.tokens, path); });
}

bool GlobPattern::may_match_below(std::string_view directory) const {
  const std::vector<std::string_view> parts =
      directory.empty() ? std::vector<std::string_view>() : parts_of(directory == "/" ? directory.substr(1) : directory);
  return std::any_of(alternatives_.begin(), alternatives_.end(), [&](const Alternative& alternative) {
    if (alternative.bounded && parts.size() >= alternative.leading.size()) return false;
    const std::size_t known = std::min(parts.size(), alternative.leading.size());
    for (std::size_t i = 0; i < known; ++i) {
      if (!match(alternative.leading[i], parts[i])) return false;
    }
    return true;
  });
}

bool GlobPattern::takes_all_below(std::string_view directory) const {
  return std::any_of(alternatives_.begin(), alternatives_.end(), [&](const Alternative& alternative) {
    return alternative.takes_all && (alternative.all_below.empty() || match(alternative.all_below, directory));
  });
}

bool GlobPattern::names(std::string_view part) const {
  return std::any_of(alternatives_.begin(), alternatives_.end(), [&](const Alternative& alternative) {
    return std::find(alternative.parts.begin(), alternative.parts.end(), part) != alternative.parts.end();
  });
}

}  // namespace casemate
