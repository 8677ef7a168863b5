// help_text: what a tool's --help says, read as people read it: sub-commands and options, in the common styles. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// A sub-command that help names.
struct HelpCommand {
  std::string name;         ///< "remote"
  std::string description;  ///< one line; "" if there is none
  bool operator==(const HelpCommand&) const = default;
};

/// An option that help names, with all its spellings but "--no-x".
struct HelpOption {
  std::string name;        ///< "--json"; "-j" where there is no long one
  std::string short_name;  ///< "-j", "" if there is none
  bool takes_value = false;
  std::string description;
  bool operator==(const HelpOption&) const = default;
};

/// All that was understood.
struct HelpText {
  bool usage = false;  ///< it has a usage line
  std::vector<HelpCommand> commands;
  std::vector<HelpOption> options;
};

/// Reads what `tool` wrote: GNU's lists of options, argparse, click, cobra, clap, docopt's usage lines, sections as manual pages have them.
/// The text is hostile: at most 256 KiB, 200 commands and 500 options of it count; names are of [A-Za-z0-9_.:-] alone, descriptions are
/// printable. Nothing that can be read gives an empty HelpText.
[[nodiscard]] HelpText read_help(std::string_view text, std::string_view tool);

}  // namespace casemate
