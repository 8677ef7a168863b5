#include "apps/explain/why.h"

#include <string>

#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "action/input_history.h"
#include "action/result_cache.h"
#include "command/input_changes.h"
#include "command/kept_run.h"
#include "report/printing.h"
#include "store/place.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kProgram = "casemate explain";

}  // namespace

int tell_why(const Job& job, Store& store, const RemoteChoice* engine, bool json) {
  InputTrees trees(store.directory());
  const auto inputs = engine ? inputs_of(job, trees, engine_words(*engine)) : inputs_of(job, trees);
  if (!inputs) return complain(kProgram, fmt::format("results of this command can't be kept: {}", inputs.error().what));
  const auto here = absolute_path(".");
  if (!here) return complain(kProgram, here.error().what);
  const InputChanges changes = input_changes(InputHistory(store.directory()), *here, job.argv, *inputs);
  const bool kept = ResultCache(store).has(inputs->action);
  if (json) {
    Json object;
    put_changes(object, changes);
    object["result_kept"] = kept;
    return put(kProgram, object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", 0);
  }
  return put(kProgram,
             text_of(changes, "The command has not run with --cache in this directory.") +
                 (kept ? "A result for these inputs is kept: 'casemate run --cache' does not run the command.\n"
                       : "No result for these inputs is kept: 'casemate run --cache' runs the command.\n"),
             0);
}

bool is_of_tests(const std::vector<std::string>& command) {
  if (command.size() < 2 || command[1] != "pytest") return false;
  return command[0] == "casemate" || command[0].ends_with("/casemate");
}

int tell_why_of_tests(const std::vector<std::string>& command, bool json) {
  std::vector<std::string> words = {"casemate", "pytest", "--why"};
  if (json) words.insert(words.end(), {"--json-lines", "-"});
  words.insert(words.end(), command.begin() + 2, command.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv("/proc/self/exe", argv.data());
  return complain(kProgram, fail_errno("start casemate pytest").error().what);
}

}  // namespace casemate
