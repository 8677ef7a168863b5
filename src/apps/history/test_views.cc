#include "apps/history/test_views.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/shell_words.h"
#include "base/terminal.h"
#include "base/units.h"
#include "engine/events.h"
#include "report/printing.h"
#include "store/place.h"
#include "store/test_history.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kProgram = "casemate history";
constexpr int kOk = 0, kNothing = 1;
constexpr std::string_view kRed = "31";

int complain(const std::string& what, int code = kOwnFailure) { return casemate::complain(kProgram, what, code); }

std::string duration(std::int64_t us) { return format_duration(std::chrono::microseconds(std::max<std::int64_t>(us, 0))); }

std::string color_of(const std::string& verdict) {
  const auto known = verdict_of(verdict);
  return known && is_bad(*known) ? std::string(kRed) : "";
}

// The nearest directory upwards from `from` of which a run is kept.
Result<std::string> project_at(const TestHistory& history, const std::string& from) {
  TRY_ASSIGN(const auto projects, history.projects());
  TRY_ASSIGN(const auto places, upwards_from(from));
  const auto found = std::find_first_of(places.begin(), places.end(), projects.begin(), projects.end());
  if (found != places.end()) return *found;
  return fail(ErrorCode::not_found,
              fmt::format("no run of tests in {} or above is known; 'casemate history runs' lists all", printable_name(places.front())));
}

std::string ending(const TestRunRecord& run) {
  if (!run.finished) return "not finished";
  if (!run.problem.empty()) return "broken";
  if (!run.stopped_because.empty()) return "stopped";
  return run.exit_status == 0 ? "passed" : run.exit_status == 1 ? "failed" : fmt::format("exited {}", run.exit_status);
}

std::int64_t count_of(const TestRunRecord& run, const char* verdict) {
  const auto found = run.counts.find(verdict);
  return found == run.counts.end() ? 0 : found->second;
}

Json to_json(const TestRunRecord& run) {
  Json json = {{"id", run.id},
               {"project", to_utf8(run.project)},
               {"front_end", to_utf8(run.front_end)},
               {"arguments", Json::array()},
               {"source", to_utf8(run.source)},
               {"began_ms", run.began_ms},
               {"finished", run.finished}};
  for (const std::string& argument : run.arguments) json["arguments"].push_back(to_utf8(argument));
  if (!run.finished) return json;
  json["took_us"] = run.took_us;
  json["counts"] = Json::object();
  for (const auto& [verdict, count] : run.counts) json["counts"][to_utf8(verdict)] = count;
  json["flaky"] = run.flaky;
  json["not_run"] = run.not_run;
  json["stopped_because"] = to_utf8(run.stopped_because);
  json["problem"] = to_utf8(run.problem);
  json["exit_status"] = run.exit_status;
  return json;
}

Json to_json(const TestResultRecord& result) {
  Json json = {{"id", to_utf8(result.node)},
               {"container", to_utf8(result.container)},
               {"verdict", to_utf8(result.verdict)},
               {"outcome", to_utf8(result.outcome)},
               {"code", result.code},
               {"attempt", result.attempt},
               {"flaky", result.flaky},
               {"began_us", result.began_us},
               {"duration_us", result.duration_us},
               {"cpu_us", result.cpu_us},
               {"peak_memory_bytes", nullptr},
               {"slot", result.slot},
               {"reason", to_utf8(result.reason)},
               {"leak", to_utf8(result.leak)}};
  if (result.peak_memory_bytes) json["peak_memory_bytes"] = *result.peak_memory_bytes;
  return json;
}

Json to_json(const TestSummary& test) {
  return {{"id", to_utf8(test.node)},
          {"container", to_utf8(test.container)},
          {"verdict", to_utf8(test.verdict)},
          {"runs", test.runs},
          {"failed", test.failed},
          {"flaky", test.flaky},
          {"mean_us", test.mean_us},
          {"longest_us", test.longest_us}};
}

template <class Rows>
int print_rows_json(const Rows& rows) {
  Json all = Json::array();
  for (const auto& row : rows) all.push_back(to_json(row));
  print_json(all);
  return kOk;
}

int print_table(const Table& table, const TestViewOptions& options) {
  fmt::print("{}", table.text(colored(options.color, STDOUT_FILENO)));
  return kOk;
}

int list_summaries(const TestHistory& history, const std::string& project, const TestViewOptions& options) {
  const auto tests = options.flaky     ? history.flaky(project, options.limit)
                     : options.slowest ? history.slowest(project, options.limit)
                                       : history.failing(project, options.limit);
  if (!tests) return complain(tests.error().what);
  if (options.json) return print_rows_json(*tests);
  Table table({{"VERDICT"},
               {"MEAN", Table::Align::right},
               {"LONGEST", Table::Align::right},
               {"RUNS", Table::Align::right},
               {"FAILED", Table::Align::right},
               {"FLAKY", Table::Align::right},
               {"TEST"}});
  for (const TestSummary& test : *tests) {
    table.add({printable_name(test.verdict), duration(test.mean_us), duration(test.longest_us), std::to_string(test.runs),
               std::to_string(test.failed), std::to_string(test.flaky), printable_name(test.node)},
              color_of(test.verdict));
  }
  return print_table(table, options);
}

int list_trend(const TestHistory& history, const std::string& project, const TestViewOptions& options) {
  const auto trend = history.trend(project, options.node, options.limit);
  if (!trend) return complain(trend.error().what);
  if (trend->empty()) {
    return complain(fmt::format("no result of {} in {} is known; a test's name is its whole node id", printable_name(options.node),
                                printable_name(project)),
                    kNothing);
  }
  if (options.json) {
    Json all = Json::array();
    for (const TestMoment& moment : *trend) {
      Json json = {{"run", moment.run}, {"run_began_ms", moment.began_ms}};
      json.update(to_json(moment.result));
      all.push_back(std::move(json));
    }
    print_json(all);
    return kOk;
  }
  Table table({{"RUN", Table::Align::right},
               {"BEGAN"},
               {"VERDICT"},
               {"TIME", Table::Align::right},
               {"MEMORY", Table::Align::right},
               {"TRIES", Table::Align::right},
               {"REASON"}});
  for (const TestMoment& entry : *trend) {
    const TestResultRecord& result = entry.result;
    table.add({std::to_string(entry.run), format_moment(entry.began_ms / 1000), printable_name(result.verdict),
               duration(result.duration_us), result.peak_memory_bytes ? format_bytes(*result.peak_memory_bytes) : "",
               std::to_string(result.attempt), printable_name(result.reason)},
              color_of(result.verdict));
  }
  return print_table(table, options);
}

int list_last_run(const TestHistory& history, const std::string& project, const TestViewOptions& options) {
  const auto run = history.last_run(project);
  if (!run) return complain(run.error().what);
  if (!*run) return complain("the last run was pruned just now", kNothing);
  auto results = history.results((*run)->id);
  if (!results) return complain(results.error().what);
  std::erase_if(*results, [](const TestResultRecord& result) { return !result.last; });
  if (results->size() > options.limit) results->resize(options.limit);
  if (options.json) return print_rows_json(*results);
  Table table({{"VERDICT"}, {"TIME", Table::Align::right}, {"MEMORY", Table::Align::right}, {"TEST"}});
  for (const TestResultRecord& result : *results) {
    table.add({printable_name(result.verdict), duration(result.duration_us),
               result.peak_memory_bytes ? format_bytes(*result.peak_memory_bytes) : "", printable_name(result.node)},
              color_of(result.verdict));
  }
  return print_table(table, options);
}

Result<TestHistory> opened() {
  auto history = TestHistory::open();
  if (history && !history->note().empty()) complain(history->note());
  return history;
}

}  // namespace

bool TestCommands::asked() const { return tests->parsed() || runs->parsed(); }

TestCommands declare_test_views(CLI::App& app, TestViewOptions& options) {
  TestCommands commands;
  commands.tests = app.add_subcommand("tests", "Tests of a project: those of its last run, or as the options say");
  commands.tests->add_option("nodeid", options.node, "The past of this test")->option_text("NODEID");
  commands.tests->add_option("--project", options.project, "The project, or a directory in it (the current one)")->option_text("DIR");
  auto* flaky = commands.tests->add_flag("--flaky", options.flaky, "Those that passed and failed with the same source");
  auto* slowest = commands.tests->add_flag("--slowest", options.slowest, "The slowest first, by their last three runs");
  auto* failed = commands.tests->add_flag("--failed", options.failed, "Those that failed when they ran last");
  flaky->excludes(slowest)->excludes(failed);
  slowest->excludes(failed);
  commands.runs = app.add_subcommand("runs", "Runs of tests");
  commands.runs->add_option("--project", options.project, "Only of this project (a directory in it)")->option_text("DIR");
  return commands;
}

int list_tests(const TestViewOptions& options) {
  const bool summaries = options.flaky || options.slowest || options.failed;
  if (summaries && !options.node.empty()) return complain("a NODEID can't be given together with --flaky, --slowest or --failed");
  const auto history = opened();
  if (!history) return complain(history.error().what);
  const auto project = project_at(*history, options.project.empty() ? "." : options.project);
  if (!project) return complain(project.error().what, project.error().code == ErrorCode::not_found ? kNothing : kOwnFailure);
  if (!options.node.empty()) return list_trend(*history, *project, options);
  return summaries ? list_summaries(*history, *project, options) : list_last_run(*history, *project, options);
}

int list_test_runs(const TestViewOptions& options) {
  const auto history = opened();
  if (!history) return complain(history.error().what);
  std::string project;
  if (!options.project.empty()) {
    const auto found = project_at(*history, options.project);
    if (!found) return complain(found.error().what, found.error().code == ErrorCode::not_found ? kNothing : kOwnFailure);
    project = *found;
  }
  const auto runs = history->runs(project, options.limit);
  if (!runs) return complain(runs.error().what);
  if (options.json) return print_rows_json(*runs);
  Table table({{"RUN", Table::Align::right},
               {"BEGAN"},
               {"ENDED"},
               {"TOOK", Table::Align::right},
               {"PASSED", Table::Align::right},
               {"FAILED", Table::Align::right},
               {"PROJECT"},
               {"ARGUMENTS"}});
  for (const TestRunRecord& run : *runs) {
    const std::int64_t bad = count_of(run, "failed") + count_of(run, "error") + count_of(run, "lost");
    table.add({std::to_string(run.id), format_moment(run.began_ms / 1000), ending(run), run.finished ? duration(run.took_us) : "",
               run.finished ? std::to_string(count_of(run, "passed")) : "", run.finished ? std::to_string(bad) : "",
               printable_name(run.project), printable_name(join_shell_words(run.arguments))},
              run.finished && run.exit_status == 0 ? "" : std::string(kRed));
  }
  return print_table(table, options);
}

}  // namespace casemate
