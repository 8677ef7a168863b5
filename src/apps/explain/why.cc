#include "apps/explain/why.h"

#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "action/input_history.h"
#include "action/result_cache.h"
#include "base/terminal.h"
#include "base/units.h"
#include "command/kept_run.h"
#include "report/printing.h"
#include "store/place.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kProgram = "casemate explain";
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

struct Findings {
  std::optional<RecordedInputs> last;
  std::vector<InputDifference> differences;
  std::size_t all = 0;
  bool kept = false;  // a result of the inputs as they are now
};

std::string text_of(const Findings& found) {
  const std::string_view ending = found.kept ? "A result for these inputs is kept: 'casemate run --cache' does not run the command.\n"
                                             : "No result for these inputs is kept: 'casemate run --cache' runs the command.\n";
  if (!found.last) return fmt::format("The command has not run with --cache in this directory.\n{}", ending);
  std::string text;
  if (found.last->other_arguments)
    text += "It has not run with these arguments; compared with the last run of the same program in this directory.\n";
  if (found.all == 0) {
    text += fmt::format("Nothing has changed since the last run with --cache ({}).\n", format_moment(found.last->when));
  } else {
    text += fmt::format("Changed since the last run with --cache ({}):\n", format_moment(found.last->when));
    for (const InputDifference& difference : found.differences) text += line(difference);
    if (found.all > found.differences.size()) text += fmt::format("  and {} more\n", found.all - found.differences.size());
  }
  return text + std::string(ending);
}

Json json_of(const Findings& found) {
  Json object;
  object["last_run"] = found.last ? Json(found.last->when) : Json(nullptr);
  object["same_arguments"] = found.last && !found.last->other_arguments;
  object["result_kept"] = found.kept;
  object["changes"] = Json::array();
  for (const InputDifference& difference : found.differences) {
    Json entry = {{"kind", word_of(difference.kind)}, {difference.is_path ? "path" : "input", to_utf8(difference.name)}};
    if (!difference.before.empty()) entry["before"] = to_utf8(difference.before);
    if (!difference.after.empty()) entry["after"] = to_utf8(difference.after);
    object["changes"].push_back(std::move(entry));
  }
  object["changes_in_all"] = found.all;
  return object;
}

}  // namespace

int tell_why(const Job& job, Store& store, const RemoteChoice* engine, bool json) {
  InputTrees trees(store.directory());
  const auto inputs = engine ? inputs_of(job, trees, engine_words(*engine)) : inputs_of(job, trees);
  if (!inputs) return complain(kProgram, fmt::format("results of this command can't be kept: {}", inputs.error().what));
  const auto here = absolute_path(".");
  if (!here) return complain(kProgram, here.error().what);
  const InputHistory history(store.directory());
  Findings found;
  found.last = history.last(*here, job.argv);
  if (found.last) found.differences = history.differences(*found.last, *inputs, kMostDifferences, found.all);
  found.kept = ResultCache(store).has(inputs->action);
  if (json) return put(kProgram, json_of(found).dump(2, ' ', false, Json::error_handler_t::replace) + "\n", 0);
  return put(kProgram, text_of(found), 0);
}

}  // namespace casemate
