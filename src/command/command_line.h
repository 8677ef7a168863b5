// command_line: what every command's parser has in common: --color, and one line for what it can't understand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/table.h"

namespace CLI {
class App;
class Error;
}  // namespace CLI

namespace casemate {

/// Declares --color WHEN: auto, always or never.
void declare_color(CLI::App& app, Color& color);

/// What is wrong with a command line, in one line without the program's name: for an unknown option or subcommand with the one that was
/// probably meant. To be asked after `app.parse()` has thrown `wrong`.
[[nodiscard]] std::string parse_problem(const CLI::App& app, const CLI::Error& wrong);

/// ", did you mean '--memory'?" for an option that `app` and its subcommands in use don't have, else "". `typed` may have a value at its
/// end
/// ("--memroy=1g").
[[nodiscard]] std::string nearest_option(const CLI::App& app, std::string_view typed);

/// Whether --json is among `arguments`, before any "--": a program that asked for an object gets one, also where the rest can't be read.
[[nodiscard]] bool asks_for_json_object(const std::vector<std::string>& arguments);

}  // namespace casemate
