#include "command/input_changes.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/units.h"
#include "report/printing.h"

namespace casemate {
namespace {

constexpr std::size_t kMostDifferences = 20;
constexpr std::size_t kLongestValue = 60;

std::string_view word_of(InputDifference::Kind kind) {
  switch (kind) {
    case InputDifference::Kind::added:
      return "new";
    case InputDifference::Kind::removed:
      return "gone";
    case InputDifference::Kind::changed:
      break;
  }
  return "changed";
}

std::string shown(const std::string& value) {
  return printable_name(value.size() > kLongestValue ? value.substr(0, kLongestValue) + "..." : value);
}

std::string line(const InputDifference& difference) {
  std::string text = fmt::format("  {:<8} {}", word_of(difference.kind), printable_name(difference.name));
  if (difference.is_path || (difference.before.empty() && difference.after.empty())) return text + "\n";
  if (difference.kind == InputDifference::Kind::changed)
    return text + fmt::format(": {} -> {}\n", shown(difference.before), shown(difference.after));
  return text + fmt::format(": {}\n", shown(difference.kind == InputDifference::Kind::added ? difference.after : difference.before));
}

}  // namespace

InputChanges input_changes(const InputHistory& history, const std::string& directory, const std::vector<std::string>& command,
                           const JobInputs& now) {
  InputChanges changes{.last = history.last(directory, command)};
  if (changes.last) changes.differences = history.differences(*changes.last, now, kMostDifferences, changes.all);
  return changes;
}

std::string text_of(const InputChanges& changes, std::string_view none) {
  if (!changes.last) return fmt::format("{}\n", none);
  std::string text;
  if (changes.last->other_arguments)
    text += "It has not run with these arguments; compared with the last run of the same program in this directory.\n";
  if (changes.all == 0)
    return text + fmt::format("Nothing has changed since the last run with --cache ({}).\n", format_moment(changes.last->when));
  text += fmt::format("Changed since the last run with --cache ({}):\n", format_moment(changes.last->when));
  for (const InputDifference& difference : changes.differences) text += line(difference);
  if (changes.all > changes.differences.size()) text += fmt::format("  and {} more\n", changes.all - changes.differences.size());
  return text;
}

void put_changes(nlohmann::ordered_json& object, const InputChanges& changes) {
  using Json = nlohmann::ordered_json;
  object["last_run"] = changes.last ? Json(changes.last->when) : Json(nullptr);
  object["same_arguments"] = changes.last && !changes.last->other_arguments;
  object["changes"] = Json::array();
  for (const InputDifference& difference : changes.differences) {
    Json entry = {{"kind", word_of(difference.kind)}, {difference.is_path ? "path" : "input", to_utf8(difference.name)}};
    if (!difference.before.empty()) entry["before"] = to_utf8(difference.before);
    if (!difference.after.empty()) entry["after"] = to_utf8(difference.after);
    object["changes"].push_back(std::move(entry));
  }
  object["changes_in_all"] = changes.all;
}

}  // namespace casemate
