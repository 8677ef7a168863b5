// configuration: settings that are not on the command line: the environment's, the project's, the user's and the machine's.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/pytest/settings.h"
#include "casemate/result.h"

namespace casemate {

/// A setting's value as it was written, and by whom.
struct SaidValue {
  std::vector<std::string> values;  ///< one but for lists; "true" or "false" for flags
  std::string origin;               ///< "--slots", "MAELSTROM_SLOTS", "/etc/xdg/maelstrom/maelstrom-pytest/config.toml:3"
};

/// Settings by key.
using PytestConfiguration = std::map<std::string, SaidValue, std::less<>>;

/// Where to look.
struct ConfigurationPlaces {
  std::string directory;                   ///< the project
  std::optional<std::string> config_file;  ///< --config-file: in place of the user's and the machine's; "-": of none
  /// Value of an environment variable, nullptr for none; an empty one counts as unset.
  std::function<const char*(const std::string& name)> variable;
};

/// Completes `said` (the command line's) with what it does not set. First wins: MAELSTROM_PYTEST_X, CASEMATE_PYTEST_X, MAELSTROM_X,
/// CASEMATE_X; [tool.casemate] of the project's pyproject.toml; --config-file, or maelstrom/maelstrom-pytest/config.toml and
/// casemate/pytest.toml in $XDG_CONFIG_HOME and in each of $XDG_CONFIG_DIRS (XDG Base Directory Specification 0.8). A list in a variable
/// is words as a shell has them. Unknown keys of files become `notes`. invalid_input: a value of the wrong type, a file that is no TOML;
/// not_found: --config-file.
Result<void> complete_configuration(PytestConfiguration& said, const ConfigurationPlaces& places, std::vector<std::string>& notes);

/// Gives the values meaning, in the order of the settings' table. invalid_input: "ORIGIN: what".
Result<void> store_configuration(const PytestConfiguration& said, PytestRequest& request);

/// All settings as a file of TOML that would set them, with who said so; unset ones as comments.
[[nodiscard]] std::string print_configuration(const PytestConfiguration& said);

}  // namespace casemate
