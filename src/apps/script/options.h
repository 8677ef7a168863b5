// options: the table of `casemate script`'s options; what arguments.cc parses and usage.cc prints.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "apps/script/arguments.h"

namespace casemate {

/// One option of `casemate script`: how it is spelled, described and stored.
struct ScriptOption {
  enum class Values {
    none,
    attached,  ///< one after '=', or none
    one,
    many,
  };
  std::string_view name;  ///< "--script"
  char letter = 0;        ///< 'h' for -h, 0 for none
  Values values = Values::one;
  std::string_view metavar;
  bool ours = false;  ///< not an option of py_test_runner.py
  std::string_view help;
  /// Puts one value into the request; null for --help and --version. An error's `what` follows "argument --name: ".
  Result<void> (*store)(ScriptRequest& request, const std::string& value) = nullptr;
};

/// All options, those of py_test_runner.py first and in its order.
[[nodiscard]] std::span<const ScriptOption> script_options();

/// "--script", "-h/--help": how argparse names an option in its messages.
[[nodiscard]] std::string spelling(const ScriptOption& option, std::string_view separator = "/");

}  // namespace casemate
