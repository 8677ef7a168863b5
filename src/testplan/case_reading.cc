#include "testplan/case_reading.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/ascii.h"
#include "testplan/pattern.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;
using Type = PlanStep::Type;
using Kind = PlanDependency::Kind;

const Names kOtherId = {
    "depends_on_test_case_id", "depends_on_step_id", "test_case_id", "step_id", "case_id", "case", "step", "id", "of", "from"};
// What results are written into, and a word of people's own.
const Names kResults = {"status", "result", "actual_result", "actual_exit_code", "actual_output", "actual_error", "notes", "tag"};
const Names kVariable = {"variable_name", "variable", "name"};
const Names kPattern = {"extraction_pattern", "pattern", "regex"};

template <class T>
struct Spelling {
  std::string_view word;
  T is;
};
constexpr Spelling<Type> kTypes[] = {{"command", Type::command},    {"cmd", Type::command},         {"run", Type::command},
                                     {"execute", Type::command},    {"assertion", Type::assertion}, {"assert", Type::assertion},
                                     {"check", Type::assertion},    {"setup", Type::setup},         {"set_up", Type::setup},
                                     {"prepare", Type::setup},      {"teardown", Type::teardown},   {"tear_down", Type::teardown},
                                     {"cleanup", Type::teardown},   {"clean_up", Type::teardown},   {"verification", Type::verification},
                                     {"verify", Type::verification}};
constexpr Spelling<Kind> kKinds[] = {
    {"result", Kind::result},       {"test_case", Kind::result},        {"test", Kind::result},     {"case", Kind::result},
    {"step", Kind::result},         {"output", Kind::result},           {"file", Kind::file},       {"path", Kind::file},
    {"env_var", Kind::environment}, {"environment", Kind::environment}, {"env", Kind::environment}, {"variable", Kind::environment},
    {"command", Kind::command},     {"program", Kind::command},         {"service", Kind::service}, {"port", Kind::service}};

std::string normal_word(std::string_view text) {
  std::string word = ascii_lower(text);
  for (char& byte : word) byte = byte == '-' || byte == ' ' ? '_' : byte;
  return word;
}

template <class T, std::size_t N>
std::optional<T> meaning(const Spelling<T> (&spellings)[N], std::string_view text) {
  const std::string word = normal_word(text);
  for (const Spelling<T>& spelling : spellings) {
    if (spelling.word == word) return spelling.is;
  }
  return std::nullopt;
}

Type read_type(const PlanTable& table, Type by_default) {
  const auto member = table.find({"type", "step_type"});
  if (!member) return by_default;
  const auto type = meaning(kTypes, table.text({member.name}));
  if (!type) table.is_no(member.name, *member.value, "type of a step: command, assertion, setup, teardown, verification");
  return type.value_or(by_default);
}

// A value that is taken from somewhere: {variable_name, extraction_pattern, of}.
std::optional<Extraction> read_extraction(const PlanTable& table) {
  Extraction made{.variable = table.text(kVariable), .pattern = table.text(kPattern), .of = table.text(kOtherId)};
  if (!is_variable_name(made.variable)) {
    table.problem("", made.variable.empty() ? "names no variable" : fmt::format("'{}' is no name of a variable", made.variable));
    return std::nullopt;
  }
  if (const auto pattern = make_pattern(made.pattern); !pattern) {
    table.problem(table.find(kPattern).name, pattern.error().what);
    return std::nullopt;
  }
  return made;
}

std::vector<Extraction> read_extractions(const PlanTable& table) {
  std::vector<Extraction> all;
  const auto member = table.find({"extractions", "extract", "extracts", "outputs", "captures"});
  if (!member) return all;
  const std::string pointer = below(table.pointer(), member.name);
  const auto take = [&](const Json& entry, const std::string& place) {
    if (auto made = read_extraction(PlanTable(entry, place, table.log()))) all.push_back(*std::move(made));
  };
  if (member.value->is_array()) {
    for (std::size_t index = 0; index < member.value->size(); ++index) {
      const Json& entry = (*member.value)[index];
      if (entry.is_object()) {
        take(entry, below(pointer, index));
      } else {
        table.is_no(member.name, entry, "object with variable_name and extraction_pattern");
      }
    }
  } else if (member.value->is_object()) {  // {NAME: pattern}
    for (const auto& [name, pattern] : member.value->items()) take(Json{{"variable_name", name}, {"extraction_pattern", pattern}}, pointer);
  } else {
    table.is_no(member.name, *member.value, "list of values to extract");
  }
  return all;
}

// What dependencies come to: some are values that are taken from what is depended on.
struct Needs {
  std::vector<PlanDependency> depends_on;
  std::vector<Extraction> extractions;
};

void read_need(const PlanTable& table, Needs& needs) {
  PlanDependency need{.id = table.text(kOtherId)};
  const auto type = table.find({"type", "dependency_type", "kind"});
  if (type) {
    const auto kind = meaning(kKinds, table.text({type.name}));
    if (!kind) return table.is_no(type.name, *type.value, "type of dependency: file, env_var, command, service");
    need.kind = *kind;
  }
  if (const auto variable = table.find({"variable_name", "variable"}); variable && table.find(kPattern)) {
    if (auto made = read_extraction(table)) needs.extractions.push_back(*std::move(made));
    need.kind = Kind::result;  // the value comes with the other's result
  }
  switch (need.kind) {
    case Kind::result:
      break;
    case Kind::file:
      need.what = table.text({"what", "path", "file", "file_path", "value", "name", "resource"});
      break;
    case Kind::environment:
      need.what = table.text({"what", "variable_name", "variable", "name", "value", "resource"});
      break;
    case Kind::command:
      need.what = table.text({"what", "command", "name", "value", "resource"});
      break;
    case Kind::service:
      need.what = table.text({"what", "address", "port", "service", "value", "name", "resource"});
      break;
  }
  if (need.kind == Kind::result ? need.id.empty() : need.what.empty())
    return table.problem("", need.kind == Kind::result ? "does not say on which case or step it depends" : "does not say what it needs");
  needs.depends_on.push_back(std::move(need));
}

Needs read_needs(const PlanTable& table) {
  Needs needs;
  for (const std::string_view name : {"depends_on", "dependencies"}) {
    const auto member = table.find({name});
    if (!member) continue;
    const std::string pointer = below(table.pointer(), name);
    const auto take = [&](const Json& entry, const std::string& place) {
      if (entry.is_object()) {
        read_need(PlanTable(entry, place, table.log()), needs);
      } else if (auto id = text_of(entry); id && !id->empty()) {
        needs.depends_on.push_back({.id = *std::move(id)});
      } else {
        table.is_no(name, entry, "id of a case or step");
      }
    };
    if (!member.value->is_array()) {
      take(*member.value, pointer);
      continue;
    }
    for (std::size_t index = 0; index < member.value->size(); ++index) take((*member.value)[index], below(pointer, index));
  }
  // The case itself as one dependency.
  if (const auto id = table.text({"depends_on_test_case_id", "depends_on_step_id"}); !id.empty()) {
    needs.depends_on.push_back({.id = id});
    if (table.find({"variable_name"})) {
      Json own = {{"variable_name", table.text({"variable_name"})}, {"extraction_pattern", table.text({"extraction_pattern"})}, {"of", id}};
      if (auto made = read_extraction(PlanTable(own, table.pointer(), table.log()))) needs.extractions.push_back(*std::move(made));
    }
  }
  // Whoever takes a value needs what it is taken from.
  for (const Extraction& taken : needs.extractions) {
    const bool said =
        std::any_of(needs.depends_on.begin(), needs.depends_on.end(), [&](const PlanDependency& need) { return need.id == taken.of; });
    if (!said && !taken.of.empty()) needs.depends_on.push_back({.id = taken.of});
  }
  return needs;
}

// Texts of several lines end in a newline by accident of YAML: it is not expected.
std::vector<std::string> expected_texts(const PlanTable& table, Names names) {
  std::vector<std::string> texts = table.texts(names);
  for (std::string& text : texts) {
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  }
  std::erase(texts, "");
  return texts;
}

// Files, and what is in them.
void expect_files(const PlanTable& table, Expectations& expected) {
  const auto member = table.find({"expected_files", "expected_file"});
  if (!member) return;
  const auto put = [&](std::string path, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) expected.contents.push_back({path, text});
    expected.files.push_back(std::move(path));
  };
  const auto take = [&](const Json& entry) {
    const PlanTable of(entry, below(table.pointer(), member.name), table.log());
    std::string path = entry.is_object() ? of.text({"path", "file", "name"}) : text_of(entry).value_or("");
    if (path.empty() || path.contains('\0')) return table.is_no(member.name, entry, "path");
    if (!entry.is_object()) return put(std::move(path), {});
    put(std::move(path), expected_texts(of, {"contains", "content", "contents", "text"}));
    if (!of.truth({"exists"}).value_or(true)) of.problem("exists", "that a file is not there can't be expected here: use a command");
    for (const auto& [key, meant] : of.unknown_keys({"description"})) of.note(key, "is not looked at: path and contains are");
  };
  if (member.value->is_array()) {
    std::for_each(member.value->begin(), member.value->end(), take);
  } else if (member.value->is_object() && !member.value->contains("path")) {  // {path: what is in it}
    for (const auto& [path, content] : member.value->items()) {
      const Json entry = content.is_object() ? content : Json{{"contains", content}};
      if (content.is_null() || content.is_boolean())
        take(Json(path));
      else
        put(path, expected_texts(PlanTable(entry, below(below(table.pointer(), member.name), path), table.log()),
                                 {"contains", "content", "contents", "text"}));
    }
  } else {
    take(*member.value);
  }
}

Expectations read_expectations(const PlanTable& table, bool has_command) {
  Expectations expected;
  const auto status = table.find({"expected_exit_code", "expected_return_code", "expected_exit_status", "expected_status"});
  bool any = false;
  if (status) {
    any = status.value->is_string() && normal_word(status.value->get<std::string>()) == "any";
    if (!any) {
      const auto number = table.whole({status.name}, -255, 255);
      if (number) expected.exit_code = static_cast<int>(*number & 0xff);  // -1 is 255 to who waits for it
    }
  }
  if (has_command && !status && !any) expected.exit_code = 0;
  if (table.truth({"should_fail", "expect_failure", "expected_failure"}).value_or(false)) {
    expected.nonzero = true;
    if (expected.exit_code == 0) expected.exit_code.reset();  // the 0 that generators write into every case
  }
  expected.output = expected_texts(table, {"expected_output_contains", "expected_stdout", "expected_stdout_contains", "expected_output"});
  expected.error = expected_texts(table, {"expected_error_contains", "expected_stderr", "expected_stderr_contains", "expected_error"});
  expect_files(table, expected);
  return expected;
}

// What a step has by itself or from its case.
struct Bounds {
  std::optional<std::chrono::milliseconds> timeout;
  std::map<std::string, std::string> environment;
  std::optional<unsigned> retries;
};

Bounds read_bounds(const PlanTable& table) {
  Bounds bounds{.timeout = table.seconds({"timeout", "timeout_seconds"}),
                .environment = table.environment({"environment", "env", "environment_variables", "env_vars"})};
  if (const auto number = table.whole({"retries", "retry_count", "retry"}, 0, 100)) bounds.retries = static_cast<unsigned>(*number);
  return bounds;
}

void hand_down(const Bounds& bounds, PlanStep& step) {
  if (!step.timeout) step.timeout = bounds.timeout;
  if (!step.retries) step.retries = bounds.retries;
  step.environment.insert(bounds.environment.begin(), bounds.environment.end());
}

// How a step and a case's own command run.
void read_command(const PlanTable& table, PlanStep& step) {
  step.terminal = table.truth({"tty", "terminal", "pty"}).value_or(false);
  step.input = table.text({"stdin", "input", "input_data"});
  step.background = table.truth({"background", "is_background", "daemon"}).value_or(false);
}

PlanStep read_step(const Json& value, const std::string& pointer, Type by_default, ReadingLog& log) {
  PlanStep step{.type = by_default, .pointer = pointer};
  if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
    step.command = value.get<std::string>();
    if (step.command.contains('\0')) log.problem(place_of(pointer), "has a NUL in it");
    step.expected.exit_code = 0;
    return step;
  }
  if (!value.is_object()) {
    log.problem(place_of(pointer), "is no step: neither an object nor a command");
    return step;
  }
  const PlanTable table(value, pointer, log);
  step.id = table.text({"id", "step_id"});
  step.type = read_type(table, by_default);
  step.description = table.text({"description", "name", "title"});
  step.command = table.text({"command", "command_line", "cmd", "run"});
  step.expected = read_expectations(table, !step.command.empty());
  read_command(table, step);
  hand_down(read_bounds(table), step);
  step.extractions = read_extractions(table);
  Needs needs = read_needs(table);
  table.note_misspelt(kResults);
  step.depends_on = std::move(needs.depends_on);
  std::move(needs.extractions.begin(), needs.extractions.end(), std::back_inserter(step.extractions));
  return step;
}

std::vector<std::string> read_tags(const PlanTable& table) {
  const auto member = table.find({"tags", "labels"});
  if (!member || !member.value->is_string()) return table.texts({"tags", "labels"});
  std::vector<std::string> tags;  // "smoke, slow"
  std::string_view text = member.value->get_ref<const std::string&>();
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const auto first = part.find_first_not_of(" \t\n");
    if (first != std::string_view::npos) tags.emplace_back(part.substr(first, part.find_last_not_of(" \t\n") - first + 1));
  }
  return tags;
}

// The case's own command, as its first step; or what the case expects of the last command of its steps.
void put_own_command(const PlanTable& table, PlanCase& one) {
  PlanStep own{.pointer = one.pointer};
  own.command = table.text({"command_line", "command", "cmd"});
  own.description = one.name;
  own.expected = read_expectations(table, !own.command.empty());
  if (!own.command.empty()) {
    read_command(table, own);
    one.main = 0;
    one.steps.insert(one.steps.begin(), std::move(own));
    return;
  }
  if (own.expected.exit_code == 0) own.expected.exit_code.reset();  // the steps say what they expect
  if (own.expected == Expectations{}) return;
  own.type = Type::verification;
  one.steps.push_back(std::move(own));
}

// Values that the case gives: out of its own command's output, or that of its last.
void put_own_extractions(const PlanTable& table, PlanCase& one) {
  std::vector<Extraction> own = read_extractions(table);
  if (own.empty()) return;
  auto giver = one.main ? one.steps.rend() - 1
                        : std::find_if(one.steps.rbegin(), one.steps.rend(), [](const PlanStep& step) { return !step.command.empty(); });
  if (giver == one.steps.rend()) return table.problem("extractions", "there is no command whose output they could be taken from");
  std::move(own.begin(), own.end(), std::back_inserter(giver->extractions));
}

}  // namespace

std::vector<PlanStep> read_steps(const Json& steps, const std::string& pointer, Type by_default, ReadingLog& log) {
  std::vector<PlanStep> made;
  if (!steps.is_array()) {
    log.problem(place_of(pointer), "is no list of steps");
    return made;
  }
  made.reserve(steps.size());
  for (std::size_t index = 0; index < steps.size(); ++index)
    made.push_back(read_step(steps[index], below(pointer, index), by_default, log));
  return made;
}

PlanCase read_case(const Json& value, const std::string& pointer, std::vector<Extraction>& taken, ReadingLog& log) {
  PlanCase one{.pointer = pointer};
  if (!value.is_object()) {
    log.problem(place_of(pointer), "is no case: an object is wanted");
    return one;
  }
  const PlanTable table(value, pointer, log);
  one.id = table.text({"id", "test_case_id", "case_id"});
  one.name = table.text({"name", "title"});
  one.description = table.text({"description"});
  one.tags = read_tags(table);
  if (const auto order = table.whole({"execution_order", "order"}, INT32_MIN, INT32_MAX)) one.execution_order = static_cast<int>(*order);
  if (const auto steps = table.find({"steps", "test_steps"}))
    one.steps = read_steps(*steps.value, below(pointer, steps.name), Type::command, log);
  put_own_command(table, one);
  if (one.steps.empty()) table.problem("", "has neither a command_line nor steps");
  put_own_extractions(table, one);
  const Bounds bounds = read_bounds(table);
  for (PlanStep& step : one.steps) hand_down(bounds, step);
  Needs needs = read_needs(table);
  one.depends_on = std::move(needs.depends_on);
  for (const std::string_view name : {"cwd", "work_dir", "workdir", "working_directory"}) {
    if (table.find({name})) table.note(name, "is not read here: begin the command with 'cd', or give execution.work_dir");
  }
  table.note_misspelt(kResults);
  taken = std::move(needs.extractions);
  return one;
}

}  // namespace casemate
