// argparse: command lines read as Python's argparse reads them, for drop-ins of programs that use it: options may be shortened, a value
// with a blank in it may begin with a dash, messages and help are its own. CLI11 differs in each of these; tests/golden compares the two
// parsers. A front end has a table of its options, and a request that they are stored in.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// How one option is spelled and described.
struct OptionWords {
  /// How many values it takes.
  enum class Values {
    none,
    attached,  ///< one after '=', or none
    one,
    many,
  };
  std::string_view name;  ///< "--script"
  Values values = Values::one;
  std::string_view metavar = {};
  std::string_view help = {};
  char letter = 0;              ///< 'h' for -h, 0 for none
  std::string_view alias = {};  ///< another spelling, which messages don't name: "-auth"; "": none
  bool ours = false;            ///< not an option of the program that is stood in for
  bool required = false;
  bool takes_dashes = false;  ///< the next argument is its value even if that begins with a dash, unless that is an option
  bool ends = false;          ///< what follows is not read: --help, --version
};

/// One option of a front end whose options fill a `Request`.
template <class Request>
struct CommandOption {
  OptionWords words;
  /// Puts one value ("" where it has none) into the request; null for options that end the reading. An error's `what` follows "argument
  /// --name: ".
  Result<void> (*store)(Request& request, const std::string& value) = nullptr;
};

/// The words of a front end's options, in its order.
using OptionTable = std::vector<OptionWords>;

template <class Request>
OptionTable table_of(std::span<const CommandOption<Request>> options) {
  OptionTable table;
  for (const CommandOption<Request>& option : options) table.push_back(option.words);
  return table;
}

/// What one argument is, before anything is consumed: argparse decides this for all of them first.
struct CommandToken {
  enum class Kind { value, option, unknown_option, separator };
  Kind kind = Kind::value;
  std::string text;                       ///< as it was typed
  std::size_t option = 0;                 ///< of an option: its place in the table
  std::optional<std::string> attached{};  ///< --option=attached, -eattached
};

/// Whether messages repeat values that were typed, as argparse has it; not where one may be a secret.
enum class QuoteValues { yes, no };

/// What `text` is. A beginning that is unambiguous among the options that are not `ours` keeps its meaning whatever we added. Fails with
/// invalid_input for one of several options.
Result<CommandToken> classify_argument(const OptionTable& table, const std::string& text, QuoteValues quote = QuoteValues::yes);

/// What a command line has besides values that were stored.
struct ReadCommandLine {
  std::string_view ended_by;               ///< the option that ended the reading: "--help"; "": none
  std::vector<CommandToken> unrecognized;  ///< neither an option nor an option's value, "--" among them, in their order
};

/// Stores a value of the option at a place in the table.
using StoreValue = std::function<Result<void>(std::size_t option, const std::string& value)>;

/// Reads `arguments`, and stores each value when it is met. Fails with invalid_input; `what` is the line that argparse would print after
/// "error: ". What was not recognized is the caller's to tell of.
Result<ReadCommandLine> read_command_line(const OptionTable& table, const std::vector<std::string>& arguments, QuoteValues quote,
                                          const StoreValue& store);

/// The same, into `request`.
template <class Request>
Result<ReadCommandLine> read_command_line(std::span<const CommandOption<Request>> options, const std::vector<std::string>& arguments,
                                          QuoteValues quote, Request& request) {
  return read_command_line(table_of(options), arguments, quote, [&](std::size_t option, const std::string& value) {
    return options[option].store ? options[option].store(request, value) : Result<void>();
  });
}

/// invalid_input: "invalid choice: 'x' (choose from 'a', 'b')".
[[nodiscard]] std::unexpected<Error> not_a_choice(std::string_view value, std::span<const std::string_view> choices);

/// A word and what it stands for.
template <class Meaning>
using Choice = std::pair<std::string_view, Meaning>;
/// What `value` stands for; not_a_choice() if it is none of them.
template <class Meaning, std::size_t N>
Result<Meaning> read_choice(std::string_view value, const Choice<Meaning> (&choices)[N]) {
  std::vector<std::string_view> words;
  for (const auto& [word, meaning] : choices) {
    if (value == word) return meaning;
    words.push_back(word);
  }
  return not_a_choice(value, words);
}

/// " FILE", "[=FILE]", " FILE [FILE ...]": an option's values in a help.
[[nodiscard]] std::string value_words(const OptionWords& option);
/// The lines of a help for all options that are (not) `ours`, laid out as argparse lays out 80 columns.
[[nodiscard]] std::string options_help(const OptionTable& table, bool ours);
/// Columns of a help: argparse takes 2 less than the terminal has.
inline constexpr std::size_t kHelpWidth = 78;

}  // namespace casemate
