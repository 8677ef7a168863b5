#include "apps/plan/showing.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include <fmt/format.h>
#include <unistd.h>

#include "apps/plan/execution.h"
#include "apps/plan/results_directory.h"
#include "apps/plan/saved_run.h"
#include "base/terminal.h"
#include "base/units.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/printing.h"
#include "report/result_json.h"
#include "report/table.h"
#include "testplan/checks.h"
#include "testplan/kept_output.h"
#include "testplan/plan_sinks.h"
#include "testplan/results_json.h"

namespace casemate {
namespace {

std::string color_of(PlanStatus status) {
  return status == PlanStatus::failed || status == PlanStatus::error ? "31" : status == PlanStatus::passed ? "" : "33";
}

std::string duration(std::chrono::microseconds time) { return format_duration(time); }

std::string counts(const PlanRunRow& row) {
  std::string text = fmt::format("{} of {} passed", row.passed, row.total);
  for (const auto& [number, word] :
       {std::pair(row.failed, "failed"), {row.error, "error"}, {row.skipped, "skipped"}, {not_run(row), "not run"}}) {
    if (number > 0) text += fmt::format(", {} {}", number, word);
  }
  return text;
}

// ---- show

std::string indented(std::string_view text) {
  std::string all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    all += fmt::format("    {}\n", printable(text.substr(at, end - at)));
    at = end + 1;
  }
  return all;
}

std::string changes_text(const std::vector<Change>& changes) {
  std::string text;
  for (const Change& change : changes) {
    text += fmt::format(
        "    {:<8} {}{}\n", word(change.kind), printable_name("/" + change.path),
        change.type == Change::Type::file && change.kind != Change::Kind::deleted ? fmt::format(" ({})", format_bytes(change.size)) : "");
  }
  return text;
}

std::string step_text(const PlanStep& step, const StepResult& result, const Normaliser* normaliser) {
  std::string text = fmt::format("\n{}  {}{}\n", printable_name(step.id), word(result.status),
                                 result.reason.empty() ? "" : ": " + printable_line(result.reason));
  if (!step.command.empty()) text += fmt::format("  $ {}\n", printable_name(step.command));
  if (result.outcome) text += fmt::format("  {} after {}\n", printable_line(words(*result.outcome)), duration(result.resources.wall));
  for (const auto& [name, bytes] : {std::pair("stdout", &result.out), std::pair("stderr", &result.err)}) {
    if (bytes->empty()) continue;
    text += fmt::format("  {}{}:\n{}", name, normaliser ? ", normalised" : "", indented(normaliser ? normaliser->apply(*bytes) : *bytes));
  }
  if (result.truncated) text += "  (its middle was not kept)\n";
  if (!result.changes.empty()) text += "  files:\n" + changes_text(result.changes);
  for (const auto& [name, value] : result.values) text += fmt::format("  {} = {}\n", printable_name(name), printable_line(value));
  for (const Leftover& process : result.services)
    text += fmt::format("  left running: {} ({})\n", printable_name(process.name), process.pid);
  return text;
}

std::string case_text(const PlanCase& one, const CaseResult& result, const Normaliser* normaliser) {
  std::string text = fmt::format("{}  {}{}\n", printable_name(one.id), word(result.status),
                                 result.reason.empty() ? "" : ": " + printable_line(result.reason));
  if (one.name != one.id) text += fmt::format("  {}\n", printable_name(one.name));
  for (std::size_t at = 0; at < one.steps.size() && at < result.steps.size(); ++at)
    text += step_text(one.steps[at], result.steps[at], normaliser);
  if (!result.difference.empty()) text += "\n  from what was recorded:\n" + indented(result.difference);
  return text;
}

std::string run_text(const SavedRun& run, bool colors) {
  std::string text =
      fmt::format("run {}: {} of {} ({}), {} on {}, {}\n{}, {}\n", printable_name(run.row.id), printable_name(run.row.mode),
                  printable_name(run.row.path), printable_name(run.row.tool), printable_name(run.row.executor),
                  printable_name(run.row.image), format_moment(run.row.started_ms / 1000), printable_name(run.row.state), counts(run.row));
  if (!run.remainder.version.empty())
    text += fmt::format("{} ({}{})\n", printable_line(run.remainder.version), printable_name(run.remainder.strategy),
                        run.remainder.cached ? ", kept" : "");
  if (!run.result.problem.empty()) text += printable_line(run.result.problem) + "\n";
  for (const std::string& note : run.plan.notes) text += "note: " + printable_line(note) + "\n";
  Table table({{"CASE"}, {"STATUS"}, {"TIME", Table::Align::right}, {"WHY"}});
  for (std::size_t at = 0; at < run.plan.cases.size(); ++at) {
    const CaseResult& result = run.result.cases[at];
    table.add(
        {printable_name(run.plan.cases[at].id), std::string(word(result.status)), result.took.count() > 0 ? duration(result.took) : "",
         result.reason == run.result.problem ? "" : printable_line(result.reason)},
        color_of(result.status));
  }
  return text + table.text(colors);
}

Result<std::size_t> find_case(const SavedRun& run, const std::string& id) {
  for (const auto member : {&PlanCase::id, &PlanCase::name}) {  // ids are unique, names need not be
    for (std::size_t at = 0; at < run.plan.cases.size(); ++at) {
      if (run.plan.cases[at].*member == id) return at;
    }
  }
  return fail(ErrorCode::not_found, fmt::format("run {} has no case '{}'", printable_name(run.row.id), printable_name(id)));
}

Result<SavedRun> load(const PlanHistory& history, const std::string& id) {
  TRY_ASSIGN(const PlanRunRow row, find_run(history, id));
  return load_run(history, row);
}

Result<std::string> shown(const PlanRequest& request) {
  TRY_ASSIGN(const PlanHistory history, PlanHistory::open());
  TRY_ASSIGN(SavedRun run, load(history, request.run));
  TRY_ASSIGN(const Normaliser normaliser, Normaliser::create(request.rules, request.without));
  if (!request.one.empty()) {
    TRY_ASSIGN(const std::size_t index, find_case(run, request.one));
    if (!request.json) return case_text(run.plan.cases[index], run.result.cases[index], request.normalised ? &normaliser : nullptr);
    bound_outputs(run.result);
    return results_json(run.plan, run.result, normaliser)["cases"][index].dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  bound_outputs(run.result);
  if (request.json) return results_text(results_json(run.plan, run.result, normaliser));
  std::string text = run_text(run, colored(request.color, STDOUT_FILENO));
  for (std::size_t at = 0; at < run.plan.cases.size(); ++at) {
    const PlanStatus status = run.result.cases[at].status;
    if (request.normalised || status == PlanStatus::failed || status == PlanStatus::error)
      text += "\n" + case_text(run.plan.cases[at], run.result.cases[at], request.normalised ? &normaliser : nullptr);
  }
  return text;
}

// ---- list

Json to_json(const PlanRunRow& row) {
  return {{"run", to_utf8(row.id)},
          {"mode", to_utf8(row.mode)},
          {"path", to_utf8(row.path)},
          {"tool_name", to_utf8(row.tool)},
          {"executor", to_utf8(row.executor)},
          {"image", to_utf8(row.image)},
          {"started_ms", row.started_ms},
          {"duration_ms", static_cast<double>(row.took_us) / 1000},
          {"state", to_utf8(row.state)},
          {"total", row.total},
          {"passed", row.passed},
          {"failed", row.failed},
          {"error", row.error},
          {"skipped", row.skipped},
          {"not_run", not_run(row)}};
}

Result<std::string> listed(const PlanRequest& request) {
  TRY_ASSIGN(const PlanHistory history, PlanHistory::open());
  std::string path = request.plan;
  if (!path.empty()) {
    std::error_code problem;
    path = std::filesystem::absolute(path, problem).lexically_normal().string();
  }
  TRY_ASSIGN(auto runs, history.runs(path, request.most));
  if (std::error_code problem; runs.empty() && !path.empty() && !std::filesystem::exists(path, problem))
    return fail(ErrorCode::not_found, fmt::format("there is no file {}, and no run of it is kept", printable_name(request.plan)));
  for (PlanRunRow& row : runs) {
    TRY_ASSIGN(row, as_far_as_it_came(history, std::move(row)));
  }
  if (request.json) {
    Json all = Json::array();
    for (const PlanRunRow& row : runs) all.push_back(to_json(row));
    return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  Table table({{"RUN"}, {"STARTED"}, {"MODE"}, {"STATE"}, {"TIME", Table::Align::right}, {"CASES"}, {"TOOL"}, {"PLAN"}});
  for (const PlanRunRow& row : runs) {
    table.add({printable_name(row.id), format_moment(row.started_ms / 1000), printable_name(row.mode), printable_name(row.state),
               duration(std::chrono::microseconds(row.took_us)), counts(row), printable_name(row.tool), printable_name(row.path)},
              row.passed == row.total ? "" : "31");
  }
  return table.text(colored(request.color, STDOUT_FILENO));
}

// ---- export

Result<void> add_files(const ResultsDirectory& directory, const SavedRun& run, const PlanHistory& history) {
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t at = 0; at < run.plan.cases.size(); ++at) places.emplace(run.plan.cases[at].id, at);
  for (const PlanArtifact& artifact : run.artifacts) {
    if (artifact.kind != "file") continue;
    const auto place = places.find(artifact.case_id);
    if (place == places.end()) continue;
    TRY_ASSIGN(const std::string bytes, history.read(artifact.digest));
    TRY(directory.add_file(run.plan, place->second, artifact.path, bytes));
  }
  return {};
}

// A plan as who is here would name it: below the working directory, else by its last part.
std::string name_here(const std::string& path) {
  std::error_code problem;
  const std::filesystem::path here = std::filesystem::path(path).lexically_relative(std::filesystem::current_path(problem));
  if (here.empty() || *here.begin() == "..") return std::filesystem::path(path).filename().string();
  return here.string();
}

Result<void> exported(const PlanRequest& request) {
  TRY_ASSIGN(const PlanHistory history, PlanHistory::open());
  TRY_ASSIGN(SavedRun run, load(history, request.run));
  TRY_ASSIGN(const Normaliser normaliser, Normaliser::create(request.rules, request.without));
  TRY_ASSIGN(const ResultsDirectory directory, ResultsDirectory::open(request.directory));
  for (std::size_t at = 0; at < run.plan.cases.size(); ++at) TRY(directory.end_case(run.plan, at, run.result.cases[at], normaliser));
  TRY(add_files(directory, run, history));
  bound_outputs(run.result);
  TRY(directory.finish(run.plan, run.result, run.document, normaliser, run.remainder.install_log));
  JunitReport junit(directory.junit());
  HtmlOptions options;
  options.path = directory.html();
  HtmlReport html(std::move(options));
  const PlanReportRun told{name_here(run.row.path), "/", {run.row.mode, run.row.path}, 1, run.row.passed == run.row.total ? 0 : 1};
  const auto problems = tell_sinks(told, run.plan, run.result, {&junit, &html});
  if (!problems.empty()) return fail(ErrorCode::system, problems.front());
  say(fmt::format("run {} is in {}: results.json, the plan with results, junit.xml, report.html, artifacts\n", printable_name(run.row.id),
                  printable_name(request.directory)));
  return {};
}

int printed(const PlanRequest& request, const Result<std::string>& text) {
  return text ? put(kPlanProgram, *text, 0) : refuse_plan(request, text.error(), status_of(text.error()));
}

}  // namespace

int show_plan_run(const PlanRequest& request) { return printed(request, shown(request)); }
int list_plan_runs(const PlanRequest& request) { return printed(request, listed(request)); }

int export_plan_run(const PlanRequest& request) {
  const auto done = exported(request);
  return done ? 0 : refuse_plan(request, done.error(), status_of(done.error()));
}

}  // namespace casemate
