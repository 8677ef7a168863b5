// pytest_words: options of pytest itself, and of plugins people have, that `casemate pytest` takes and passes on as they are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace casemate {

/// One of them.
struct PytestWord {
  enum class Value : std::uint8_t {
    none,      ///< --pyargs
    needed,    ///< -k EXPR, --tb=short
    optional,  ///< --cov or --cov=src
  };
  std::string_view names;  ///< as CLI11 has them: "-p", "-W,--pythonwarnings"; the last one is passed on
  Value value = Value::none;
  std::string_view type;  ///< what help calls its value
  std::string_view help;  ///< "": taken, but not listed
};

/// All of them, in the order of --help.
[[nodiscard]] std::span<const PytestWord> pytest_words();

/// Why `word` (`--pdb`, `--pdbcls=a:b`), an option of pytest's, means nothing here, and what to do: a line without its end. "" for any
/// other.
[[nodiscard]] std::string why_not(std::string_view word);

}  // namespace casemate
