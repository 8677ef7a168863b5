// usage: what `casemate script` says about itself, laid out as argparse lays out 80 columns.
#include <fmt/format.h>

#include "apps/script/options.h"

namespace casemate {
namespace {

constexpr std::size_t kWidth = 78;       // argparse: the terminal's columns - 2
constexpr std::size_t kHelpColumn = 24;  // argparse's max_help_position

std::string values_of(const ScriptOption& option) {
  switch (option.values) {
    case ScriptOption::Values::none:
      return "";
    case ScriptOption::Values::attached:
      return fmt::format("[={}]", option.metavar);
    case ScriptOption::Values::one:
      return fmt::format(" {}", option.metavar);
    case ScriptOption::Values::many:
      return fmt::format(" {0} [{0} ...]", option.metavar);
  }
  return "";
}

std::string wrapped(std::string_view text, std::size_t indent) {
  std::string lines;
  const std::size_t room = kWidth - indent;
  while (text.size() > room) {
    std::size_t cut = text.rfind(' ', room);
    if (cut == std::string_view::npos) cut = room;
    lines += fmt::format("{}\n{:{}}", text.substr(0, cut), "", indent);
    text.remove_prefix(cut + 1);
  }
  return lines.append(text) + "\n";
}

std::string described(const ScriptOption& option) {
  const std::string values = values_of(option);
  const std::string head = fmt::format("  {}{}", spelling(option, ", "), values);
  const bool fits = head.size() + 2 <= kHelpColumn;
  return fits ? fmt::format("{:<{}}{}", head, kHelpColumn, wrapped(option.help, kHelpColumn))
              : fmt::format("{}\n{:{}}{}", head, "", kHelpColumn, wrapped(option.help, kHelpColumn));
}

}  // namespace

std::string script_usage(std::string_view program) {
  const std::string margin(std::string_view("usage: ").size() + program.size() + 1, ' ');
  std::string line = fmt::format("usage: {}", program);
  std::string text;
  for (const ScriptOption& option : script_options()) {
    if (option.ours) continue;
    const std::string name = option.letter ? fmt::format("-{}", option.letter) : std::string(option.name);
    const bool required = option.name == "--script" || option.name == "--reqs";
    const std::string part = required ? name + values_of(option) : fmt::format("[{}{}]", name, values_of(option));
    if (line.size() + 1 + part.size() > kWidth) {
      text += line + "\n";
      line = margin + part;
    } else {
      line += " " + part;
    }
  }
  return text + line + "\n";
}

std::string script_help(std::string_view program) {
  std::string text = script_usage(program);
  text +=
      "\nRuns a Python script with its requirements and its files in a fresh, isolated\n"
      "cell, and copies what it made into ./results.\n\noptions:\n";
  for (const ScriptOption& option : script_options()) {
    if (!option.ours) text += described(option);
  }
  text += "\ncasemate's additions:\n";
  for (const ScriptOption& option : script_options()) {
    if (option.ours) text += described(option);
  }
  text += fmt::format(
      "\nThe script and its inputs lie in /app, the working directory. ./results is\n"
      "deleted and made anew on every run.\n"
      "\nexamples:\n"
      "  {0} --script report.py --reqs requirements.txt --inputs data.csv\n"
      "  {0} --script report.py --reqs requirements.txt \\\n"
      "      --inputs data.csv --script-args \"--mode fast\" --json-output\n"
      "  {0} --script job.py --reqs /dev/null --network none \\\n"
      "      --timeout 30s --memory 256M\n"
      "\nexit status: 0 success, 1 the script or its environment failed, 2 wrong usage,\n"
      "130 interrupted.\n",
      program);
  return text;
}

}  // namespace casemate
