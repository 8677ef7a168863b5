// Own parser, no CLI11: a drop-in must read a command line as Python's argparse does (options may be shortened, a value with a blank in it
// may begin with a dash, its messages word for word), and CLI11 differs in each of these. tests/golden compares the two parsers.
#include "apps/script/arguments.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/script/options.h"

namespace casemate {
namespace {

using Values = ScriptOption::Values;

// What one argument is, before anything is consumed: argparse decides this for all of them first.
struct Token {
  enum class Kind { value, option, unknown_option, separator };
  Kind kind = Kind::value;
  const ScriptOption* option = nullptr;
  std::optional<std::string> attached;  // --option=attached, -eattached
  std::string text;
};

std::vector<const ScriptOption*> beginning_with(std::string_view prefix) {
  std::vector<const ScriptOption*> seeds;
  std::vector<const ScriptOption*> all;
  for (const ScriptOption& option : script_options()) {
    if (!option.name.starts_with(prefix)) continue;
    all.push_back(&option);
    if (!option.ours) seeds.push_back(&option);
  }
  return seeds.empty() ? all : seeds;
}

// argparse takes what looks like a negative number as a value: ^-\d+$|^-\d*\.\d+$
bool negative_number(std::string_view text) {
  text.remove_prefix(1);
  const auto digits = [](std::string_view part) { return std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; }); };
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return !text.empty() && digits(text);
  return digits(text.substr(0, dot)) && dot + 1 < text.size() && digits(text.substr(dot + 1));
}

Result<Token> classify_long(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  Token token{Token::Kind::option, nullptr, std::nullopt, text};
  if (equals != std::string::npos) token.attached = text.substr(equals + 1);
  for (const ScriptOption& option : script_options()) {
    if (option.name == name) token.option = &option;
  }
  if (token.option) return token;
  const auto candidates = beginning_with(name);
  if (candidates.size() == 1) {
    token.option = candidates[0];
    return token;
  }
  if (candidates.size() > 1) {
    std::vector<std::string_view> names;
    for (const ScriptOption* option : candidates) names.push_back(option->name);
    return fail(ErrorCode::invalid_input, fmt::format("ambiguous option: {} could match {}", text, fmt::join(names, ", ")));
  }
  token.kind = text.find(' ') != std::string::npos ? Token::Kind::value : Token::Kind::unknown_option;
  return token;
}

Result<Token> classify(const std::string& text) {
  if (text == "--") return Token{Token::Kind::separator, nullptr, std::nullopt, text};
  if (text.size() < 2 || text[0] != '-') return Token{Token::Kind::value, nullptr, std::nullopt, text};
  if (text[1] == '-') return classify_long(text);
  for (const ScriptOption& option : script_options()) {
    if (option.letter != text[1]) continue;
    Token token{Token::Kind::option, &option, std::nullopt, text};
    if (text.size() > 2) token.attached = text.substr(text[2] == '=' ? 3 : 2);
    return token;
  }
  const bool value = negative_number(text) || text.find(' ') != std::string::npos;
  return Token{value ? Token::Kind::value : Token::Kind::unknown_option, nullptr, std::nullopt, text};
}

std::unexpected<Error> wrong_argument(const ScriptOption& option, std::string_view what) {
  return fail(ErrorCode::invalid_input, fmt::format("argument {}: {}", spelling(option), what));
}

class Parser {
 public:
  Result<ParsedArguments> parse(const std::vector<std::string>& arguments) {
    bool only_values = false;
    for (const std::string& text : arguments) {
      if (only_values) {
        tokens_.push_back({Token::Kind::value, nullptr, std::nullopt, text});
        continue;
      }
      TRY_ASSIGN(Token token, classify(text));
      only_values = token.kind == Token::Kind::separator;
      tokens_.push_back(std::move(token));
    }
    while (next_ < tokens_.size() && parsed_.action == ParsedArguments::Action::run) TRY(consume());
    if (parsed_.action == ParsedArguments::Action::run) TRY(check());
    return std::move(parsed_);
  }

 private:
  Result<void> consume() {
    const Token token = tokens_[next_++];
    if (token.kind != Token::Kind::option) {
      unrecognized_.push_back(token.text);
      return {};
    }
    const ScriptOption& option = *token.option;
    seen_.insert(option.name);
    if (option.values == Values::none && token.attached)
      return wrong_argument(option, fmt::format("ignored explicit argument '{}'", *token.attached));
    if (option.name == "--help") parsed_.action = ParsedArguments::Action::help;
    if (option.name == "--version") parsed_.action = ParsedArguments::Action::version;
    if (!option.store) return {};
    if (option.values == Values::none) return store(option, "");
    if (option.values == Values::attached) return store(option, token.attached.value_or(""));
    if (token.attached) return store(option, *token.attached);
    return option.values == Values::one ? consume_one(option) : consume_many(option);
  }

  Result<void> consume_one(const ScriptOption& option) {
    // A script's own options are what --script-args is for; argparse would only have refused them.
    const bool dashed = option.name == "--script-args" && next_ < tokens_.size() && tokens_[next_].kind == Token::Kind::unknown_option;
    if (!dashed && !value_follows()) return wrong_argument(option, "expected one argument");
    return store(option, tokens_[next_++].text);
  }

  Result<void> consume_many(const ScriptOption& option) {
    if (!value_follows()) return wrong_argument(option, "expected at least one argument");
    while (value_follows()) TRY(store(option, tokens_[next_++].text));
    return {};
  }

  [[nodiscard]] bool value_follows() const { return next_ < tokens_.size() && tokens_[next_].kind == Token::Kind::value; }

  Result<void> store(const ScriptOption& option, const std::string& value) {
    const auto stored = option.store(parsed_.request, value);
    if (!stored) return wrong_argument(option, stored.error().what);
    return {};
  }

  Result<void> check() const {
    std::vector<std::string_view> missing;
    for (const std::string_view name : {"--script", "--reqs"}) {
      if (!seen_.contains(name)) missing.push_back(name);
    }
    if (!missing.empty())
      return fail(ErrorCode::invalid_input, fmt::format("the following arguments are required: {}", fmt::join(missing, ", ")));
    if (!unrecognized_.empty())
      return fail(ErrorCode::invalid_input, fmt::format("unrecognized arguments: {}", fmt::join(unrecognized_, " ")));
    return {};
  }

  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  std::set<std::string_view> seen_;
  std::vector<std::string> unrecognized_;
  ParsedArguments parsed_;
};

}  // namespace

ScriptRequest::ScriptRequest() : limits(default_script_limits()) {}

Limits default_script_limits() {
  Limits limits = default_limits();
  limits.memory_bytes = 2ull << 30;
  limits.pids = 512;
  limits.disk_bytes = 1ull << 30;
  limits.disk_inodes = 131'072;
  return limits;
}

Result<ParsedArguments> parse_script_arguments(const std::vector<std::string>& arguments) { return Parser().parse(arguments); }

bool asks_for_json(const std::vector<std::string>& arguments) {
  for (const std::string& text : arguments) {
    if (text == "--") return false;
    const auto token = classify(text);
    if (token && token->option && token->option->name == "--json-output") return true;
  }
  return false;
}

}  // namespace casemate
