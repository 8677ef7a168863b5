#include "command/argparse.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace casemate {
namespace {

using Kind = CommandToken::Kind;
using Values = OptionWords::Values;

constexpr std::size_t kHelpColumn = 24;  // argparse's max_help_position

// "--script", "-h/--help": how argparse names an option.
std::string spelling(const OptionWords& option, std::string_view separator) {
  return option.letter ? fmt::format("-{}{}{}", option.letter, separator, option.name) : std::string(option.name);
}

std::unexpected<Error> wrong_argument(const OptionWords& option, std::string_view what) {
  return fail(ErrorCode::invalid_input, fmt::format("argument {}: {}", spelling(option, "/"), what));
}

// Places in the table. An option's whole name is no beginning of others.
std::vector<std::size_t> beginning_with(const OptionTable& table, std::string_view prefix) {
  std::vector<std::size_t> theirs;
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].name == prefix) return {i};
    if (!table[i].name.starts_with(prefix)) continue;
    all.push_back(i);
    if (!table[i].ours) theirs.push_back(i);
  }
  return theirs.empty() ? all : theirs;
}

// argparse takes what looks like a negative number as a value: ^-\d+$|^-\d*\.\d+$
bool is_negative_number(std::string_view text) {
  text.remove_prefix(1);
  const auto digits = [](std::string_view part) { return std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; }); };
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return !text.empty() && digits(text);
  return digits(text.substr(0, dot)) && dot + 1 < text.size() && digits(text.substr(dot + 1));
}

Result<CommandToken> classify_long(const OptionTable& table, const std::string& text, QuoteValues quote) {
  const std::size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const auto candidates = beginning_with(table, name);
  if (candidates.size() > 1) {
    std::vector<std::string_view> names;
    for (const std::size_t option : candidates) names.push_back(table[option].name);
    return fail(ErrorCode::invalid_input,
                fmt::format("ambiguous option: {} could match {}", quote == QuoteValues::yes ? text : name, fmt::join(names, ", ")));
  }
  if (candidates.empty()) return CommandToken{text.find(' ') != std::string::npos ? Kind::value : Kind::unknown_option, text};
  CommandToken token{Kind::option, text, candidates[0]};
  if (equals != std::string::npos) token.attached = text.substr(equals + 1);
  return token;
}

// Takes the arguments of one command line in their order.
class Reader {
 public:
  Reader(const OptionTable& table, QuoteValues quote, const StoreValue& store) : table_(table), quote_(quote), store_(store) {}

  Result<ReadCommandLine> read(const std::vector<std::string>& arguments) {
    bool only_values = false;
    for (const std::string& text : arguments) {
      if (only_values) {
        tokens_.push_back({Kind::value, text});
        continue;
      }
      TRY_ASSIGN(CommandToken token, classify_argument(table_, text, quote_));
      only_values = token.kind == Kind::separator;
      tokens_.push_back(std::move(token));
    }
    while (next_ < tokens_.size() && read_.ended_by.empty()) TRY(consume());
    if (read_.ended_by.empty()) TRY(check_required());
    return std::move(read_);
  }

 private:
  Result<void> consume() {
    CommandToken& token = tokens_[next_++];
    if (token.kind != Kind::option) {
      read_.unrecognized.push_back(std::move(token));
      return {};
    }
    const OptionWords& option = table_[token.option];
    seen_.insert(option.name);
    if (option.values == Values::none && token.attached) {
      const std::string quoted = quote_ == QuoteValues::yes ? fmt::format(" '{}'", *token.attached) : "";
      return wrong_argument(option, "ignored explicit argument" + quoted);
    }
    if (option.ends) read_.ended_by = option.name;
    if (token.attached) return store(token.option, *token.attached);
    if (option.values == Values::none || option.values == Values::attached) return store(token.option, "");
    return option.values == Values::one ? consume_one(token.option) : consume_many(token.option);
  }

  Result<void> consume_one(std::size_t option) {
    const bool dashed = table_[option].takes_dashes && next_ < tokens_.size() && tokens_[next_].kind == Kind::unknown_option;
    if (!dashed && !value_follows()) return wrong_argument(table_[option], "expected one argument");
    return store(option, tokens_[next_++].text);
  }

  Result<void> consume_many(std::size_t option) {
    if (!value_follows()) return wrong_argument(table_[option], "expected at least one argument");
    while (value_follows()) TRY(store(option, tokens_[next_++].text));
    return {};
  }

  [[nodiscard]] bool value_follows() const { return next_ < tokens_.size() && tokens_[next_].kind == Kind::value; }

  Result<void> store(std::size_t option, const std::string& value) {
    const auto stored = store_(option, value);
    if (!stored) return wrong_argument(table_[option], stored.error().what);
    return {};
  }

  [[nodiscard]] Result<void> check_required() const {
    std::vector<std::string_view> missing;
    for (const OptionWords& option : table_) {
      if (option.required && !seen_.contains(option.name)) missing.push_back(option.name);
    }
    if (missing.empty()) return {};
    return fail(ErrorCode::invalid_input, fmt::format("the following arguments are required: {}", fmt::join(missing, ", ")));
  }

  const OptionTable& table_;
  const QuoteValues quote_;
  const StoreValue& store_;
  std::vector<CommandToken> tokens_;
  std::size_t next_ = 0;
  std::set<std::string_view> seen_;
  ReadCommandLine read_;
};

std::string wrapped(std::string_view text, std::size_t indent) {
  std::string lines;
  const std::size_t room = kHelpWidth - indent;
  while (text.size() > room) {
    std::size_t cut = text.rfind(' ', room);
    const bool at_blank = cut != std::string_view::npos;
    if (!at_blank) cut = room;
    lines += fmt::format("{}\n{:{}}", text.substr(0, cut), "", indent);
    text.remove_prefix(cut + (at_blank ? 1 : 0));
  }
  return lines.append(text) + "\n";
}

std::string described(const OptionWords& option) {
  const std::string head = fmt::format("  {}{}", spelling(option, ", "), value_words(option));
  const std::string help = wrapped(option.help, kHelpColumn);
  return head.size() + 2 <= kHelpColumn ? fmt::format("{:<{}}{}", head, kHelpColumn, help)
                                        : fmt::format("{}\n{:{}}{}", head, "", kHelpColumn, help);
}

}  // namespace

Result<CommandToken> classify_argument(const OptionTable& table, const std::string& text, QuoteValues quote) {
  if (text == "--") return CommandToken{Kind::separator, text};
  if (text.size() < 2 || text[0] != '-') return CommandToken{Kind::value, text};
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (text == table[i].alias) return CommandToken{Kind::option, text, i};
    if (const std::string joined = std::string(table[i].alias) + "="; joined.starts_with("--") && text.starts_with(joined)) {
      CommandToken token{Kind::option, text, i};
      token.attached = text.substr(joined.size());
      return token;
    }
  }
  if (text[1] == '-') return classify_long(table, text, quote);
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].letter != text[1]) continue;
    CommandToken token{Kind::option, text, i};
    if (text.size() > 2) token.attached = text.substr(text[2] == '=' ? 3 : 2);
    return token;
  }
  const bool value = is_negative_number(text) || text.find(' ') != std::string::npos;
  return CommandToken{value ? Kind::value : Kind::unknown_option, text};
}

Result<ReadCommandLine> read_command_line(const OptionTable& table, const std::vector<std::string>& arguments, QuoteValues quote,
                                          const StoreValue& store) {
  return Reader(table, quote, store).read(arguments);
}

std::unexpected<Error> not_a_choice(std::string_view value, std::span<const std::string_view> choices) {
  return fail(ErrorCode::invalid_input, fmt::format("invalid choice: '{}' (choose from '{}')", value, fmt::join(choices, "', '")));
}

std::string value_words(const OptionWords& option) {
  switch (option.values) {
    case Values::none:
      return "";
    case Values::attached:
      return fmt::format("[={}]", option.metavar);
    case Values::one:
      return fmt::format(" {}", option.metavar);
    case Values::many:
      return fmt::format(" {0} [{0} ...]", option.metavar);
  }
  return "";
}

std::string options_help(const OptionTable& table, bool ours) {
  std::string text;
  for (const OptionWords& option : table) {
    if (option.ours == ours) text += described(option);
  }
  return text;
}

}  // namespace casemate
