// glob_pattern: file name patterns of our own: no library takes "**.py" as "every .py file at any depth".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// A pattern for whole paths. `?` is one character, `*` any number, `[a-z]` and `[!a-z]` one of a set (or not), none of them a '/';
/// `{a,b}` is either; `**` as a whole part of a path is any number of directories ("a/**/b" matches "a/b"; "a/**" everything below a);
/// elsewhere it is any bytes, '/' too ("**.py"). A backslash makes the next character plain. Names that begin with a dot are no
/// exception. Characters are UTF-8's; a byte that is not part of one counts as one.
class GlobPattern {
 public:
  /// `text` as typed: a leading "./", doubled and trailing slashes mean nothing. invalid_input: empty, more than 4,096 bytes, brackets or
  /// braces that don't close, a range from high to low.
  static Result<GlobPattern> compile(std::string_view text);

  /// Whether a path matches: parts with one '/' between, none at the end. Time: at most the product of both lengths for each `**`.
  [[nodiscard]] bool matches(std::string_view path) const;
  /// False only if nothing below this directory can match. "" is the directory that patterns are of.
  [[nodiscard]] bool may_match_below(std::string_view directory) const;
  /// Whether all that is below this directory matches, since the pattern says so: "a/**" and a.
  [[nodiscard]] bool takes_all_below(std::string_view directory) const;
  /// The parts at the front that hold no pattern and are not all of it: "src/lib" of "src/lib/**.py", "/" of "/*.py"; "" if there are none.
  [[nodiscard]] const std::string& fixed_directory() const { return fixed_directory_; }
  /// Whether a part of the pattern says just this ("**/.git/config" names ".git").
  [[nodiscard]] bool names(std::string_view part) const;

 private:
  struct Token {
    enum class Kind : std::uint8_t {
      character,      // this one
      any_character,  // ?
      one_of,         // a class
      star,           // *
      any_bytes,      // ** within a part
      directories,    // **/ as a part
    };
    Kind kind = Kind::character;
    bool negated = false;
    std::uint32_t character = 0;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
  };
  struct Alternative {
    std::vector<Token> tokens;
    std::vector<std::vector<Token>> leading;  // the parts before the first with a `**`
    bool bounded = true;                      // no `**`: leading are all parts
    std::vector<Token> all_below;             // "a/**": the tokens of "a"
    bool takes_all = false;                   // it ends in "/**" or is "**"
    std::vector<std::string> parts;
  };

  static Result<Alternative> compile_alternative(std::string_view text, std::string_view whole);
  static Result<std::vector<Token>> tokens_of(std::string_view text, std::string_view whole);
  static Result<Token> class_at(std::string_view text, std::size_t& at, std::string_view whole);
  static bool match(const std::vector<Token>& tokens, std::string_view path);

  std::vector<Alternative> alternatives_;
  std::string fixed_directory_;
};

}  // namespace casemate
