#include "session/filter_words.h"

#include <array>
#include <cctype>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/nearest.h"
#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::int64_t kMostPatternMemory = 2 << 20;  // of one regular expression

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

template <class Value, std::size_t size>
using Words = std::array<std::pair<std::string_view, Value>, size>;

constexpr Words<FilterField, 5> kFields{{{"file", FilterField::file},
                                         {"name", FilterField::name},
                                         {"node_id", FilterField::node_id},
                                         {"package", FilterField::package},
                                         {"markers", FilterField::markers}}};
constexpr Words<FilterOperator, 6> kOperators{{{"equals", FilterOperator::equals},
                                               {"contains", FilterOperator::contains},
                                               {"starts_with", FilterOperator::starts_with},
                                               {"ends_with", FilterOperator::ends_with},
                                               {"matches", FilterOperator::matches},
                                               {"globs", FilterOperator::globs}}};
constexpr Words<bool, 5> kConstants{{{"all", true}, {"any", true}, {"true", true}, {"none", false}, {"false", false}}};

template <class Value, std::size_t size>
std::vector<std::string_view> names(const Words<Value, size>& words) {
  std::vector<std::string_view> all;
  for (const auto& [name, value] : words) all.push_back(name);
  return all;
}

// The value of the words that begin with this one, if they have one between them.
template <class Value, std::size_t size>
Result<Value> value_of(std::string_view word, const Words<Value, size>& words, std::string_view what) {
  std::string meant;
  const Value* found = nullptr;
  bool clear = true;
  for (const auto& [name, value] : words) {
    if (word.empty() || !name.starts_with(word)) continue;
    clear = clear && (!found || *found == value);
    found = &value;
    meant += fmt::format("{}{}", meant.empty() ? "" : " or ", name);
  }
  if (!found) return wrong(fmt::format("there is no {} '{}'{}", what, printable_line(word), did_you_mean(word, names(words))));
  if (!clear) return wrong(fmt::format("'{}' could be {}", word, meant));
  return *found;
}

bool is_in(std::string_view word, const auto& words) {
  for (const auto& [name, value] : words) {
    if (name == word) return true;
  }
  return false;
}

void append_literal(std::string& regex, char byte) {
  if (static_cast<unsigned char>(byte) < 0x80 && std::isalnum(static_cast<unsigned char>(byte)) == 0 && byte != '_') regex += '\\';
  regex += byte;
}

// "[...]" at `at`, which is left on its last byte.
Result<void> append_class(std::string& regex, std::string_view glob, std::size_t& at) {
  std::size_t next = at + 1;
  const bool negated = next < glob.size() && (glob[next] == '!' || glob[next] == '^');
  if (negated) ++next;
  const std::size_t end = next < glob.size() ? glob.find(']', next + 1) : std::string_view::npos;  // one at the beginning is a member
  if (end == std::string_view::npos) return wrong("this glob has a '[' that is not closed");
  regex += negated ? "[^" : "[";
  for (; next < end; ++next) {
    const bool is_range = glob[next] == '-' && glob[next - 1] != '[' && next + 1 < end;
    if (is_range)
      regex += '-';
    else
      append_literal(regex, glob[next]);
  }
  regex += ']';
  at = end;
  return {};
}

// One or more stars at `at`, which is left on the last of what they mean.
void append_stars(std::string& regex, std::string_view glob, std::size_t& at) {
  const bool doubled = glob.substr(at, 2) == "**";
  const bool is_part = doubled && (at == 0 || glob[at - 1] == '/');
  if (is_part && glob.substr(at, 3) == "**/") {
    regex += "(?:.*\\/)?";
    at += 2;
    return;
  }
  regex += is_part && at != 0 && at + 2 == glob.size() ? ".+" : ".*";
  at += doubled ? 1 : 0;
}

}  // namespace

Result<FilterField> filter_field(std::string_view word) {
  if (word == "n") return FilterField::name;
  if (is_in(word, kConstants)) return wrong(fmt::format("'{}' has no operators: it stands alone", word));
  return value_of(word, kFields, "selector");
}

Result<FilterOperator> filter_operator(std::string_view word) { return value_of(word, kOperators, "operator"); }

Result<bool> filter_constant(std::string_view word) {
  if (is_in(word, kFields))
    return wrong(fmt::format("'{}' wants an operator: {}.{}(...)", word, word, word == "markers" ? "contains" : "equals"));
  auto value = value_of(word, kConstants, "selector");
  if (!value) {
    auto all = names(kConstants);
    for (const auto name : names(kFields)) all.push_back(name);
    return wrong(fmt::format("there is no selector '{}'{}", printable_line(word), did_you_mean(word, all)));
  }
  return value;
}

Result<FilterMatcher> FilterMatcher::make(FilterOperator how, std::string_view parameter) {
  FilterMatcher made;
  made.how_ = how;
  made.text_ = parameter;
  if (how != FilterOperator::matches && how != FilterOperator::globs) return made;
  if (how == FilterOperator::globs) {
    TRY_ASSIGN(made.text_, regex_of_glob(parameter));
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMostPatternMemory);
  options.set_dot_nl(how == FilterOperator::globs);
  auto pattern = std::make_shared<const re2::RE2>(made.text_, options);
  if (!pattern->ok()) {
    const std::string why = pattern->error();
    if (how == FilterOperator::globs) return wrong(fmt::format("'{}' is no glob: {}", printable_line(parameter), printable_line(why)));
    return wrong(fmt::format("'{}' is no regular expression: {}", printable_line(parameter), printable_line(why)));
  }
  made.pattern_ = std::move(pattern);
  return made;
}

bool FilterMatcher::matches(std::string_view text) const {
  switch (how_) {
    case FilterOperator::equals:
      return text == text_;
    case FilterOperator::contains:
      return text.find(text_) != std::string_view::npos;
    case FilterOperator::starts_with:
      return text.starts_with(text_);
    case FilterOperator::ends_with:
      return text.ends_with(text_);
    case FilterOperator::matches:
      return re2::RE2::PartialMatch({text.data(), text.size()}, *pattern_);
    case FilterOperator::globs:
      return re2::RE2::FullMatch({text.data(), text.size()}, *pattern_);
  }
  return false;
}

Result<std::string> regex_of_glob(std::string_view glob) {
  std::string regex;
  std::size_t open = 0;
  for (std::size_t at = 0; at < glob.size(); ++at) {
    const char next = glob[at];
    if (next == '*') {
      append_stars(regex, glob, at);
    } else if (next == '?') {
      regex += '.';
    } else if (next == '[') {
      TRY(append_class(regex, glob, at));
    } else if (next == '{') {
      regex += "(?:";
      ++open;
    } else if (next == '}' && open > 0) {
      regex += ')';
      --open;
    } else if (next == ',' && open > 0) {
      regex += '|';
    } else if (next == '\\' && at + 1 < glob.size()) {
      append_literal(regex, glob[++at]);
    } else {
      append_literal(regex, next);
    }
  }
  if (open > 0) return wrong("this glob has a '{' that is not closed");
  return regex;
}

}  // namespace casemate
