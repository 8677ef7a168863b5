// settings: the values that the command line, the environment and files may set alike, in one table: what help, --print-config and the
// parsers of all three work from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "session/request.h"

namespace casemate {

/// One value that can be set.
struct PytestSetting {
  enum class Kind : std::uint8_t { text, flag, list };
  std::string_view key;      ///< "stop-after": in files; with "--" before it the flag; in capitals with '_' the end of a variable's name
  std::string_view letters;  ///< short flags called as maelstrom-pytest: "-s"
  std::string_view own_letters;  ///< the same for `casemate pytest`, where some letters are pytest's
  std::string_view aliases;      ///< more names of the flag: "--loop"
  Kind kind = Kind::text;
  std::string_view group;      ///< heading in --help
  std::string_view value;      ///< what help calls its value
  std::string_view help;       ///< one line
  std::string_view otherwise;  ///< the default as TOML; "": unset
  /// Gives it meaning: one value for text ("true" or "false" for a flag), any number for a list. invalid_input without the setting's name.
  Result<void> (*store)(PytestRequest& request, const std::vector<std::string>& values) = nullptr;
};

/// All of them, in the order of --help.
[[nodiscard]] std::span<const PytestSetting> pytest_settings();
/// The one of this key, also written with '_'; nullptr if there is none.
[[nodiscard]] const PytestSetting* pytest_setting(std::string_view key);

}  // namespace casemate
