#include "testplan/plan_reading.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/ascii.h"
#include "base/nearest.h"
#include "base/terminal.h"
#include "testplan/case_reading.h"
#include "testplan/extraction.h"
#include "testplan/install_reading.h"
#include "testplan/plan_order.h"
#include "testplan/plan_references.h"
#include "testplan/plan_table.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostCases = 100'000;

// An option of `execution:`: where the table says nothing, what is there stays.
template <class T>
void lay_over(std::optional<T> said, std::optional<T>& over) {
  if (said) over = std::move(said);
}
void lay_over(std::string said, std::string& over) {
  if (!said.empty()) over = std::move(said);
}

std::optional<unsigned> number(const PlanTable& table, Names names, std::int64_t least, std::int64_t most) {
  const auto whole = table.whole(names, least, most);
  return whole ? std::optional(static_cast<unsigned>(*whole)) : std::nullopt;
}

void read_execution_table(const PlanTable& table, PlanExecution& execution) {
  lay_over(table.seconds({"timeout", "timeout_seconds"}), execution.timeout);
  lay_over(table.text({"work_dir", "working_directory", "workdir", "cwd"}), execution.work_dir);
  lay_over(table.truth({"use_docker", "docker"}), execution.use_docker);
  lay_over(table.text({"docker_image", "image"}), execution.image);
  lay_over(number(table, {"parallel_tests", "parallel", "jobs"}, 1, 1000), execution.parallel);
  lay_over(number(table, {"retry_count", "retries"}, 0, 100), execution.retries);
  lay_over(table.text({"shell"}), execution.shell);
  if (const auto member = table.find({"network", "network_mode"})) {
    std::string word = table.text({member.name});
    if (word == "bridge" || word == "true" || word == "default") word = "outbound";
    if (word == "false") word = "none";
    if (word == "none" || word == "outbound" || word == "host" || word == "own") {
      execution.network = word;
    } else {
      table.is_no(member.name, *member.value, "network: none, outbound (or bridge), host, own");
    }
  }
  for (auto& [name, value] : table.environment({"environment", "env", "environment_variables", "env_vars"}))
    execution.environment[name] = value;
}

// How outputs are compared, where the plan itself says that.
void note_comparison(const PlanTable& table) {
  const auto member = table.find({"compare"});
  if (!member) return;
  const std::string word = text_of(*member.value).value_or("");
  if (word != "exact" && word != "contains" && word != "json")
    table.note(member.name, fmt::format("'{}' is none of exact, contains, json", word));
}

std::vector<PlanStep> read_global(const PlanTable& table, Names names, PlanStep::Type type) {
  const auto member = table.find(names);
  if (!member) return {};
  std::vector<PlanStep> steps = read_steps(*member.value, below(table.pointer(), member.name), type, table.log());
  for (const PlanStep& step : steps) {
    if (says_nothing(step)) table.log().note(place_of(step.pointer), "neither runs a command nor says what to look for: it is passed over");
  }
  return steps;
}

// An order of the plan's own: a list of ids.
void read_order(const PlanTable& table, std::vector<PlanCase>& cases) {
  const auto member = table.find({"execution_order"});
  if (!member) return;
  if (!member.value->is_array()) return table.is_no(member.name, *member.value, "list of ids");
  std::map<std::string, int> places;
  for (const std::string& id : table.texts({member.name})) places.emplace(id, static_cast<int>(places.size()));
  for (PlanCase& one : cases) {
    const auto found = places.find(one.id.empty() ? one.name : one.id);
    if (found != places.end() && !one.execution_order) one.execution_order = found->second;
  }
}

// Some generators wrap the plan in one member.
PlanTable plan_table(const Json& document, ReadingLog& log) {
  const PlanTable whole(document, "", log);
  const auto inner = whole.find({"test_plan", "plan"});
  if (!inner || !inner.value->is_object() || whole.find({"test_cases", "cases", "tests"})) return whole;
  return {*inner.value, below("", inner.name), log};
}

std::string read_tool(const PlanTable& table) {
  const auto member = table.find({"tool_name", "tool"});
  const std::string name = member && member.value->is_object()
                               ? PlanTable(*member.value, below(table.pointer(), member.name), table.log()).text({"name", "tool_name"})
                               : table.text({"tool_name", "tool"});
  if (name.empty()) table.problem("tool_name", "the plan does not name its tool");
  return name;
}

void read_cases(const PlanTable& table, TestPlan& plan, std::map<std::size_t, std::vector<Extraction>>& taken) {
  const auto member = table.find({"test_cases", "cases", "tests"});
  if (!member || !member.value->is_array() || member.value->empty()) {
    if (member && !member.value->is_array()) return table.is_no(member.name, *member.value, "list of cases");
    return table.problem("test_cases", "the plan has no cases");
  }
  if (member.value->size() > kMostCases)
    return table.problem(member.name, fmt::format("{} cases; at most {}", member.value->size(), kMostCases));
  const std::string pointer = below(table.pointer(), member.name);
  plan.cases.reserve(member.value->size());
  for (std::size_t index = 0; index < member.value->size(); ++index) {
    std::vector<Extraction> values;
    plan.cases.push_back(read_case((*member.value)[index], below(pointer, index), values, table.log()));
    if (!values.empty()) taken.emplace(index, std::move(values));
  }
}

// A tool may have templates of its own, so this is no more than a note.
void note_unknown_values(const TestPlan& plan, ReadingLog& log) {
  const auto known = extracted_variables(plan);
  const auto look = [&](const std::vector<PlanStep>& steps) {
    for (const PlanStep& step : steps) {
      for (const std::string& name : value_names(step)) {
        if (!known.contains(name))
          log.note(place_of(step.pointer), fmt::format("the plan extracts no value {0}: {{{{{0}}}}} stays as it is", name));
      }
    }
  };
  look(plan.setup);
  for (const PlanCase& one : plan.cases) look(one.steps);
  look(plan.teardown);
}

}  // namespace

Result<TestPlan> read_plan(const Document& document, const std::string& name) {
  ReadingLog log{.name = name};
  if (!document.value.is_object())
    return fail(ErrorCode::invalid_input, fmt::format("{}: is no plan: an object with test_cases is wanted", printable_name(name)));
  const PlanTable table = plan_table(document.value, log);
  TestPlan plan;
  plan.id = table.text({"id", "plan_id", "test_plan_id"});
  plan.tool = read_tool(table);
  plan.description = table.text({"description"});
  plan.version = table.text({"version"});
  plan.install = read_install(table, plan.tool);
  if (const auto metadata = table.find({"metadata"}); metadata && metadata.value->is_object() && plan.install == InstallRequest{})
    plan.install = read_install(PlanTable(*metadata.value, below(table.pointer(), metadata.name), log), plan.tool);
  if (const auto execution = table.find({"execution"})) {
    if (execution.value->is_object()) {
      const PlanTable of(*execution.value, below(table.pointer(), execution.name), log);
      read_execution_table(of, plan.execution);
      note_comparison(of);
      of.note_misspelt({});
    } else {
      table.is_no(execution.name, *execution.value, "object");
    }
  }
  plan.setup = read_global(table, {"global_setup", "setup"}, PlanStep::Type::setup);
  plan.teardown = read_global(table, {"global_teardown", "teardown"}, PlanStep::Type::teardown);
  std::map<std::size_t, std::vector<Extraction>> taken;
  read_cases(table, plan, taken);
  note_comparison(table);
  read_order(table, plan.cases);
  table.note_misspelt({"created_at", "updated_at", "created_by", "model_used", "notes", "tag"});
  settle_references(plan, std::move(taken), log);
  note_unknown_values(plan, log);
  TRY(log.result());
  if (log.more_notes > 0) log.notes.push_back(fmt::format("and {} more", log.more_notes));
  plan.notes = std::move(log.notes);
  return plan;
}

Result<void> read_execution(const Json& table, const std::string& name, PlanExecution& execution) {
  ReadingLog log{.name = name};
  PlanExecution read = execution;
  if (!table.is_object()) return fail(ErrorCode::invalid_input, fmt::format("{}: execution: is no table", printable_name(name)));
  const PlanTable of(table, "/execution", log);
  read_execution_table(of, read);
  for (const auto& [key, meant] : of.unknown_keys({}))
    of.problem(key, fmt::format("is not known{}", meant.empty() ? "" : fmt::format(", did you mean '{}'?", meant)));
  TRY(log.result());
  execution = std::move(read);
  return {};
}

}  // namespace casemate
