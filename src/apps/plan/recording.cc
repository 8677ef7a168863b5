#include "apps/plan/recording.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include "base/terminal.h"
#include "sys/fd.h"
#include "testplan/checks.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestResults = 1u << 30;

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

// ---- reading

std::optional<std::string> from_base64(const std::string& text) {
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), reinterpret_cast<const unsigned char*>(text.data()),
                                       static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(length));
  for (std::size_t at = text.size(); at > 0 && text[at - 1] == '=' && !bytes.empty(); --at) bytes.pop_back();
  return bytes;
}

std::string output_in(const Json& object, const std::string& key) {
  if (const auto exact = object.find(key + "_base64"); exact != object.end() && exact->is_string()) {
    if (auto bytes = from_base64(exact->get<std::string>())) return *std::move(bytes);
  }
  const auto text = object.find(key);
  return text != object.end() && text->is_string() ? text->get<std::string>() : "";
}

std::string text_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string file_line(std::string_view kind, std::string_view type, std::string_view path) {
  if (kind == word(Change::Kind::modified) && type == word(Change::Type::directory)) return "";
  return fmt::format("{} {} /{}\n", kind, type, path);
}

std::string sorted_text(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, ""));
}

std::optional<std::string> files_in(const Json& object) {
  const auto list = object.find("changed_files");
  if (list == object.end() || !list->is_array()) return std::nullopt;
  std::vector<std::string> lines;
  for (const Json& one : *list) {
    if (one.is_object()) lines.push_back(file_line(text_in(one, "kind"), text_in(one, "type"), text_in(one, "path")));
  }
  return sorted_text(std::move(lines));
}

// Nothing for what did not run.
std::optional<RecordedStep> step_in(const Json& object) {
  if (!object.is_object() || text_in(object, "outcome").empty()) return std::nullopt;
  RecordedStep step;
  if (const auto code = object.find("return_code"); code != object.end() && code->is_number_integer()) step.exit_code = code->get<int>();
  step.out = output_in(object, "stdout");
  step.err = output_in(object, "stderr");
  step.files = files_in(object);
  return step;
}

// "stdout and stderr are not as recorded in run x".
std::string not_as_recorded(const std::vector<std::string>& changed, const std::string& recording) {
  std::string list = changed[0];
  for (std::size_t more = 1; more < changed.size(); ++more) list += (more + 1 == changed.size() ? " and " : ", ") + changed[more];
  return fmt::format("{} {} not as recorded in {}", list, changed.size() == 1 && changed[0] != "changed files" ? "is" : "are", recording);
}

std::string key_of(const PlanCase& one, std::size_t at) { return one.main == at ? "" : one.steps[at].id; }

// ---- writing

// The lines of an output that say the same in each run, each once.
std::vector<std::string> lasting_lines(const std::string& output, const Normaliser& normaliser) {
  constexpr std::size_t kMost = 64 << 10;
  std::vector<std::string> lines;
  std::set<std::string> there;
  for (std::size_t at = 0; at < output.size() && at < kMost;) {
    const std::size_t end = std::min(output.find('\n', at), output.size());
    std::string line = output.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && to_utf8(line) == line && normaliser.apply(line) == line && there.insert(line).second)
      lines.push_back(std::move(line));
  }
  return lines;
}

void set_expected(Json& object, const char* name, std::initializer_list<const char*> others, const std::vector<std::string>& parts) {
  for (const char* other : others) object.erase(other);
  object[name] = parts;
}

void write_step(const PlanStep& step, const StepResult& result, const Normaliser& normaliser, Json& object) {
  for (const char* other :
       {"expected_return_code", "expected_exit_status", "expected_status", "should_fail", "expect_failure", "expected_failure"})
    object.erase(other);
  object["expected_exit_code"] = exit_code(result).value_or(0);
  if (result.truncated || step.background) return;
  set_expected(object, "expected_output_contains", {"expected_stdout", "expected_stdout_contains", "expected_output"},
               lasting_lines(result.out, normaliser));
  set_expected(object, "expected_error_contains", {"expected_stderr", "expected_stderr_contains", "expected_error"},
               lasting_lines(result.err, normaliser));
}

}  // namespace

std::string files_text(const std::vector<Change>& changes) {
  std::vector<std::string> lines;
  for (const Change& change : changes) lines.push_back(file_line(word(change.kind), word(change.type), to_utf8(change.path)));
  return sorted_text(std::move(lines));
}

Recording recording_of(const SavedRun& run) {
  Recording recording{.name = fmt::format("run {}", run.row.id)};
  for (std::size_t index = 0; index < run.plan.cases.size(); ++index) {
    const PlanCase& one = run.plan.cases[index];
    const CaseResult& result = run.result.cases[index];
    if (result.status == PlanStatus::not_run || result.status == PlanStatus::skipped) continue;
    auto& steps = recording.cases[one.id];
    for (std::size_t at = 0; at < one.steps.size() && at < result.steps.size(); ++at) {
      const StepResult& step = result.steps[at];
      if (step.outcome && !one.steps[at].command.empty())
        steps[key_of(one, at)] = {exit_code(step), step.out, step.err, files_text(step.changes)};
    }
  }
  return recording;
}

Result<Recording> newest_recording(const PlanHistory& history, const std::string& path, const TestPlan& plan) {
  constexpr std::size_t kMostRuns = 100'000;
  TRY_ASSIGN(const auto runs, history.runs(path, kMostRuns));
  std::optional<Recording> found;
  const auto lacks = [&](const PlanCase& one) { return !found->cases.contains(one.id); };
  for (const PlanRunRow& row : runs) {
    if (row.mode != "record" || row.state != "finished") continue;
    if (found && std::none_of(plan.cases.begin(), plan.cases.end(), lacks)) break;
    TRY_ASSIGN(const SavedRun saved, load_run(history, row));
    Recording one = recording_of(saved);
    if (!found) {
      found = std::move(one);
      continue;
    }
    for (const PlanCase& wanted : plan.cases) {
      if (const auto older = one.cases.find(wanted.id); older != one.cases.end()) found->cases.try_emplace(wanted.id, older->second);
    }
  }
  if (!found) return fail(ErrorCode::not_found, fmt::format("{} was never recorded", printable_name(path)));
  return *std::move(found);
}

Result<Recording> read_recording(const std::string& path) {
  TRY_ASSIGN(const std::string text, read_file(path, kLongestResults));
  const Json json = Json::parse(text, nullptr, false);
  const auto cases = json.is_object() ? json.find("cases") : json.end();
  if (!json.is_object() || cases == json.end() || !cases->is_array())
    return invalid(
        fmt::format("{} is no results file: --against takes one, or the id of a run ('casemate plan list')", printable_name(path)));
  Recording recording{.name = printable_name(path)};
  for (const Json& one : *cases) {
    if (!one.is_object()) continue;
    auto& steps = recording.cases[text_in(one, "id")];
    if (auto own = step_in(one)) steps[""] = *std::move(own);
    const auto list = one.find("steps");
    for (std::size_t at = 0; list != one.end() && list->is_array() && at < list->size(); ++at) {
      if (auto step = step_in((*list)[at])) steps[text_in((*list)[at], "id")] = *std::move(step);
    }
    if (steps.empty()) recording.cases.erase(text_in(one, "id"));
  }
  return recording;
}

TestPlan without_expectations(TestPlan plan) {
  for (PlanCase& one : plan.cases) {
    for (PlanStep& step : one.steps) step.expected = {};
  }
  return plan;
}

std::string compare_case(const PlanCase& one, const Recording& recording, CompareMode mode, const Normaliser& normaliser,
                         CaseResult& result) {
  if (result.status != PlanStatus::passed && result.status != PlanStatus::failed) return "";
  const auto recorded = recording.cases.find(one.id);
  if (recorded == recording.cases.end()) {
    result.status = PlanStatus::error;
    result.reason = fmt::format("{} has no such case: record the plan again", recording.name);
    return "";
  }
  std::string differences;
  const auto differs = [&](StepResult* step, std::string reason) {
    if (result.status == PlanStatus::passed) result.reason = reason;
    result.status = PlanStatus::failed;
    if (!step) return;
    step->status = PlanStatus::failed;
    step->reason = std::move(reason);
  };
  std::set<std::string> there;
  for (std::size_t at = 0; at < one.steps.size() && at < result.steps.size(); ++at) {
    StepResult& step = result.steps[at];
    if (!one.steps[at].command.empty()) there.insert(key_of(one, at));
    const auto before = recorded->second.find(key_of(one, at));
    if (!step.outcome || one.steps[at].command.empty()) continue;
    const std::string id = printable_name(one.steps[at].id);
    if (before == recorded->second.end()) {
      differences += fmt::format("{}: was not recorded, is there\n", id);
      differs(&step, fmt::format("the step '{}' is not in {}: record the plan again", id, recording.name));
      continue;
    }
    std::vector<std::string> changed;
    const auto code = exit_code(step);
    if (code != before->second.exit_code) {
      changed.emplace_back("exit status");
      const auto in_words = [](std::optional<int> value) { return value ? std::to_string(*value) : std::string("none"); };
      differences += fmt::format("exit status of {}: was {}, is {}\n", id, in_words(before->second.exit_code), in_words(code));
    }
    // What a service has written when its case ends is a matter of time.
    if (one.steps[at].background) {
      if (!changed.empty()) differs(&step, not_as_recorded(changed, recording.name));
      continue;
    }
    for (const auto& [name, was, is] :
         {std::tuple("stdout", &before->second.out, &step.out), std::tuple("stderr", &before->second.err, &step.err)}) {
      const Difference difference = compare(normaliser.apply(*was), normaliser.apply(*is), mode);
      if (difference.same) continue;
      changed.emplace_back(name);
      differences += fmt::format("{} of {}, as recorded and now:\n{}", name, id, difference.text);
      if (!differences.ends_with('\n')) differences += '\n';
    }
    if (before->second.files) {
      const CompareMode names = mode == CompareMode::json ? CompareMode::exact : mode;
      const Difference difference = compare(normaliser.apply(*before->second.files), normaliser.apply(files_text(step.changes)), names);
      if (!difference.same) {
        changed.emplace_back("changed files");
        differences += fmt::format("changed files of {}, as recorded and now:\n{}", id, difference.text);
      }
    }
    if (!changed.empty()) differs(&step, not_as_recorded(changed, recording.name));
  }
  for (const auto& [key, step] : recorded->second) {
    if (there.contains(key)) continue;
    const std::string which = key.empty() ? "the case's own command" : fmt::format("the step '{}'", printable_name(key));
    differences += fmt::format("{}: was recorded, is not there\n", which);
    differs(nullptr, fmt::format("{}, which {} has, is not there any more", which, recording.name));
  }
  return differences;
}

std::vector<std::string> gone_cases(const TestPlan& plan, const Recording& recording) {
  std::set<std::string_view> ids;
  for (const PlanCase& one : plan.cases) ids.insert(one.id);
  std::vector<std::string> notes;
  for (const auto& [id, steps] : recording.cases) {
    if (!ids.contains(id))
      notes.push_back(fmt::format("'{}', which {} has, is not in the plan any more", printable_line(id), recording.name));
  }
  return notes;
}

std::optional<CompareMode> compare_mode(const nlohmann::ordered_json& document) {
  if (!document.is_object()) return std::nullopt;
  std::string said = text_in(document, "compare");
  if (const auto execution = document.find("execution"); execution != document.end() && execution->is_object() && said.empty())
    said = text_in(*execution, "compare");
  if (said == "exact") return CompareMode::exact;
  if (said == "contains") return CompareMode::contains;
  if (said == "json") return CompareMode::json;
  return std::nullopt;
}

std::vector<std::string> write_recording(const TestPlan& plan, const PlanResult& result, const Normaliser& normaliser,
                                         nlohmann::ordered_json& document) {
  std::vector<std::string> notes;
  for (std::size_t index = 0; index < plan.cases.size() && index < result.cases.size(); ++index) {
    const PlanCase& one = plan.cases[index];
    if (result.cases[index].status != PlanStatus::passed) {
      if (result.cases[index].status == PlanStatus::error)
        notes.push_back(fmt::format("'{}' is not recorded: {}", printable_line(one.id), printable_line(result.cases[index].reason)));
      continue;
    }
    for (std::size_t at = 0; at < one.steps.size() && at < result.cases[index].steps.size(); ++at) {
      const StepResult& step = result.cases[index].steps[at];
      if (!step.outcome || one.steps[at].command.empty()) continue;
      const Json::json_pointer place(one.steps[at].pointer);
      if (document.contains(place) && document[place].is_object())
        write_step(one.steps[at], step, normaliser, document[place]);
      else
        notes.push_back(fmt::format("'{}' is a text in the plan: there is no place for what it expects", printable_line(one.steps[at].id)));
    }
  }
  return notes;
}

}  // namespace casemate
