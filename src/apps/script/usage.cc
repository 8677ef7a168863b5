// usage: what `casemate script` says about itself, laid out as argparse lays out 80 columns.
#include <fmt/format.h>

#include "apps/script/options.h"

namespace casemate {

std::string script_usage(std::string_view program) {
  const std::string margin(std::string_view("usage: ").size() + program.size() + 1, ' ');
  std::string line = fmt::format("usage: {}", program);
  std::string text;
  for (const OptionWords& option : table_of(script_options())) {
    if (option.ours) continue;
    const std::string name = option.letter ? fmt::format("-{}", option.letter) : std::string(option.name);
    const std::string part = option.required ? name + value_words(option) : fmt::format("[{}{}]", name, value_words(option));
    if (line.size() + 1 + part.size() > kHelpWidth) {
      text += line + "\n";
      line = margin + part;
    } else {
      line += " " + part;
    }
  }
  return text + line + "\n";
}

std::string script_help(std::string_view program) {
  const OptionTable table = table_of(script_options());
  std::string text = script_usage(program);
  text +=
      "\nRuns a Python script with its requirements and its files in a fresh, isolated\n"
      "cell, and copies what it made into ./results.\n\noptions:\n";
  text += options_help(table, false);
  text += "\ncasemate's additions:\n";
  text += options_help(table, true);
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
