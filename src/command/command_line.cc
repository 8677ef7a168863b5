#include "command/command_line.h"

#include <algorithm>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/nearest.h"
#include "base/terminal.h"

namespace casemate {
namespace {

// Its own options and those of the subcommands that were named.
std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  const auto add = [&](const CLI::App& one) {
    for (const CLI::Option* option : one.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  add(app);
  for (const CLI::App* command : app.get_subcommands()) add(*command);
  return names;
}

std::string in_marks(std::string_view text) { return fmt::format("'{}'", printable_line(text)); }

std::string meant(std::string_view word, const std::vector<std::string>& known) {
  const std::string best = nearest(word, {known.begin(), known.end()});
  return best.empty() ? "" : fmt::format(", did you mean {}?", in_marks(best));
}

// No subcommand where one must be, or none of that name; "" if it is something else.
std::string subcommand_problem(const CLI::App& app, const std::vector<std::string>& rest) {
  if (!app.get_subcommands().empty()) return "";
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(command->get_name());
  const auto word = std::find_if(rest.begin(), rest.end(), [](const std::string& text) { return !text.starts_with('-'); });
  if (names.empty() || (word == rest.end() && app.get_require_subcommand_min() == 0)) return "";
  if (word != rest.end()) {
    if (const std::string best = meant(*word, names); !best.empty()) return fmt::format("there is no command {}{}", in_marks(*word), best);
  }
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : name == names.back() ? " or " : ", ") + name;
  return word == rest.end() ? fmt::format("a command is missing: {}", list)
                            : fmt::format("there is no command {}: {}", in_marks(*word), list);
}

}  // namespace

void declare_color(CLI::App& app, Color& color) {
  const auto take = [&color](const std::string& word) {
    color = word == "always" ? Color::always : word == "never" ? Color::never : Color::automatic;
  };
  app.add_option_function<std::string>("--color", take, "colours: auto, always or never")
      ->check([](const std::string& word) {
        return word == "auto" || word == "always" || word == "never" ? "" : fmt::format("{}: choose auto, always or never", in_marks(word));
      })
      ->option_text("WHEN");
}

std::string parse_problem(const CLI::App& app, const CLI::Error& wrong) {
  const std::vector<std::string> rest = app.remaining(true);
  for (const std::string& word : rest) {
    if (word.size() > 1 && word.starts_with('-'))
      return fmt::format("there is no option {}{}", in_marks(word.substr(0, word.find('='))), nearest_option(app, word));
  }
  if (std::string problem = subcommand_problem(app, rest); !problem.empty()) return problem;
  return rest.empty() ? wrong.what() : fmt::format("{} is one argument too many", in_marks(rest.front()));
}

std::string nearest_option(const CLI::App& app, std::string_view typed) { return meant(typed.substr(0, typed.find('=')), options_of(app)); }

bool asks_for_json_object(const std::vector<std::string>& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::find(arguments.begin(), end, "--json") != end;
}

}  // namespace casemate
