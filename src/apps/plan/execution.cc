#include "apps/plan/execution.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <sstream>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/plan/installed_root.h"
#include "apps/plan/run_keeper.h"
#include "base/terminal.h"
#include "command/executors.h"
#include "report/html.h"
#include "report/junit.h"
#include "report/printing.h"
#include "report/pull_progress.h"
#include "report/result_json.h"
#include "report/test_console.h"
#include "store/history.h"
#include "sys/fd.h"
#include "testplan/checks.h"
#include "testplan/installation.h"
#include "testplan/plan_reading.h"
#include "testplan/results_json.h"

namespace casemate {
namespace {

using Action = PlanRequest::Action;

constexpr int kPassed = 0, kNotAllPassed = 1;
constexpr std::size_t kRunsKept = 50;  // of each plan

std::string_view mode_word(Action action) { return action == Action::record ? "record" : action == Action::verify ? "verify" : "run"; }

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string absolute(const std::string& path) {
  std::error_code problem;
  const auto whole = std::filesystem::absolute(path, problem);
  return problem ? path : whole.lexically_normal().string();
}

// Reports show how they were asked for, but no value that was given to commands.
std::vector<std::string> without_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> shown = arguments;
  const auto hide = [](std::string& word, std::size_t from) {
    const auto equals = word.find('=', from);
    if (equals != std::string::npos) word.replace(equals + 1, std::string::npos, "***");
  };
  for (std::size_t at = 0; at < shown.size(); ++at) {
    if ((shown[at] == "-e" || shown[at] == "--env") && at + 1 < shown.size())
      hide(shown[++at], 0);
    else if (shown[at].starts_with("--env="))
      hide(shown[at], 6);
    else if (shown[at].starts_with("-e") && shown[at].size() > 2)
      hide(shown[at], 2);
  }
  return shown;
}

// Whether what goes to one is seen where the other goes: a terminal, or one file or pipe.
bool same_place(int one, int other) {
  struct stat first{}, second{};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino &&
         first.st_rdev == second.st_rdev && !(S_ISCHR(first.st_mode) && ::isatty(one) == 0);
}

/// One call of run, record or verify.
class PlanCommand {
 public:
  PlanCommand(const PlanRequest& request, const std::vector<std::string>& arguments) : request_(request), arguments_(arguments) {}

  int go() {
    if (auto done = read(); !done) return refuse(done.error());
    if (auto chosen = need_executor(settings_.executor); !chosen) return refuse(chosen.error());
    if (auto prepared = prepare(); !prepared) return refuse(prepared.error());
    if (auto begun = begin(); !begun) return refuse(begun.error());
    run();
    return end();
  }

 private:
  int refuse(const Error& error) const { return refuse_plan(request_, error, status_of(error)); }

  // ---- before anything is made

  Result<void> read() {
    if (const std::string written = written_file(); !written.empty()) TRY(check_writable(written));
    // Once: what --write compares the file with is what was read.
    TRY_ASSIGN(text_, read_file(request_.plan, kMostOfDocument + 1));
    TRY_ASSIGN(document_, parse_document(text_, request_.plan, format_of(request_.plan, text_)));
    TRY_ASSIGN(plan_, read_plan(document_, request_.plan));
    for (const std::string& name : request_.flags.unset)
      plan_.notes.push_back(fmt::format("--env {}: the caller has no such variable, so commands get none", printable_name(name)));
    TRY_ASSIGN(const PlanExecution execution, plan_execution(request_.flags, plan_.execution, request_.config));
    const std::string directory = std::filesystem::path(absolute(request_.plan)).parent_path().string();
    TRY_ASSIGN(settings_, plan_settings(request_.flags, execution, plan_.install, directory, plan_.tool));
    TRY_ASSIGN(settings_.options.selected, select_cases(plan_, request_.selection));
    settings_.options.fail_fast = request_.fail_fast;
    selected_ = static_cast<std::size_t>(std::count(settings_.options.selected.begin(), settings_.options.selected.end(), true));
    if (selected_ == 0) return fail(ErrorCode::invalid_input, "no case of the plan is chosen by --tag, --not-tag, --case and --match");
    TRY_ASSIGN(auto normaliser, Normaliser::create(request_.rules, request_.without));
    normaliser_.emplace(std::move(normaliser));
    return {};
  }

  Result<void> prepare() {
    auto opened = PlanHistory::open();
    if (opened) {
      history_.emplace(std::move(*opened));
      if (!history_->note().empty()) plan_.notes.push_back(history_->note());
    } else if (request_.resume || (request_.action == Action::verify && !against_file()) || records_only_there()) {
      return std::unexpected(opened.error());
    } else {
      plan_.notes.push_back("this run is not kept in the database: " + opened.error().what);
    }
    if (request_.action == Action::verify) TRY(find_recording());
    if (recording_) plan_.notes.push_back("compared with " + recording_->name);
    if (!request_.output.empty()) {
      TRY_ASSIGN(auto directory, ResultsDirectory::open(request_.output));
      directory_.emplace(std::move(directory));
      settings_.options.collect_to = directory_->collecting();
    }
    return {};
  }

  [[nodiscard]] bool records_only_there() const {
    return request_.action == Action::record && request_.output.empty() && request_.output_file.empty() && !request_.write;
  }

  // Else it is a run of the database.
  [[nodiscard]] bool against_file() const {
    std::error_code problem;
    return !request_.against.empty() && std::filesystem::is_regular_file(request_.against, problem);
  }

  Result<void> find_recording() {
    mode_ = request_.compare.value_or(compare_mode(document_.value).value_or(CompareMode::exact));
    const std::string& against = request_.against;
    if (against_file()) {
      TRY_ASSIGN(recording_, read_recording(against));
      return {};
    }
    if (against.empty()) {
      auto newest = newest_recording(*history_, absolute(request_.plan), plan_);
      if (!newest && newest.error().code == ErrorCode::not_found)
        return fail(ErrorCode::invalid_input, fmt::format("{} was never recorded: 'casemate plan record {}' does, or give --against",
                                                          printable_name(request_.plan), printable_name(request_.plan)));
      TRY_ASSIGN(recording_, std::move(newest));
      return {};
    }
    TRY_ASSIGN(const PlanRunRow row, find_run(*history_, against));
    TRY_ASSIGN(const SavedRun saved, load_run(*history_, row));
    recording_ = recording_of(saved);
    return {};
  }

  // ---- the run begins to be told and kept

  Result<void> begin() {
    listen();
    const std::vector<std::string> shown = without_values(arguments_);
    RunStart start;
    start.front_end = "plan";
    start.name = to_utf8(plan_.tool);
    start.directory = absolute(".");
    start.arguments = shown;
    start.began = std::chrono::system_clock::now();
    start.slots = settings_.options.parallel;
    if (const std::string problem = events_.begin(start); !problem.empty()) return fail(ErrorCode::system, problem);
    keeper_.emplace(expecting(), *normaliser_, events_, PlanReportRun{request_.plan, start.directory, shown, start.slots, 0});
    if (directory_) keeper_->write_to(*directory_);
    if (recording_) {
      keeper_->compare_with(*recording_, mode_);
      for (std::string& note : gone_cases(plan_, *recording_)) plan_.notes.push_back(std::move(note));
    }
    TRY(begin_in_history());
    events_.collected(selected_, plan_.cases.size() - selected_);
    for (const std::string& note : plan_.notes) events_.note(note);
    tell_resumed();
    return {};
  }

  void listen() {
    if (!request_.json) {
      ConsoleOptions console;
      console.display = request_.quiet ? ConsoleOptions::Display::quiet : TestConsole::display_for(STDOUT_FILENO);
      console.color = request_.color;
      console.of_plan = true;
      console.verbosity = request_.quiet ? 0 : 1;  // with the reason of what was skipped
      console.slow_after = std::chrono::milliseconds(0);
      events_.listen(std::make_unique<TestConsole>(console));
    }
    if (!directory_) return;
    events_.listen(std::make_unique<JunitReport>(directory_->junit()));
    HtmlOptions html;
    html.path = directory_->html();
    events_.listen(std::make_unique<HtmlReport>(std::move(html)));
  }

  // What each case is held to: in a recording or against one, nothing of the plan's.
  const TestPlan& expecting() {
    if (request_.action == Action::run) return plan_;
    if (!unexpecting_) unexpecting_ = without_expectations(plan_);
    return *unexpecting_;
  }

  Result<void> begin_in_history() {
    if (!history_) return {};
    TRY_ASSIGN(row_.plan, history_->keep(text_without_results(plan_, document_)));
    row_.path = absolute(request_.plan);
    row_.tool = to_utf8(plan_.tool);
    row_.mode = mode_word(request_.action);
    row_.executor = settings_.executor;
    row_.image = settings_.root ? to_text(settings_.root->image) : settings_.job.image;
    row_.started_ms = now_ms();
    row_.total = selected_;
    if (request_.resume) TRY(take_up());
    if (auto times = history_->times(row_.path)) {
      times->erase(kRemainderId);
      for (const auto& [id, microseconds] : *times) settings_.options.times[id] = std::chrono::microseconds(microseconds);
    }
    TRY_ASSIGN(row_.id, history_->begin(row_));
    keeper_->keep_in(*history_, row_.id);
    // So that a run which is killed can be shown.
    return keep_remainder({});
  }

  Result<void> keep_remainder(const PlanRemainder& remainder) {
    TRY_ASSIGN(const CaseRecord record, record_of(remainder, row_.plan, plan_, *history_));
    return history_->add_case(row_.id, record.row, record.artifacts);
  }

  // Cases that ended before this plan's last run was killed.
  Result<void> take_up() {
    TRY_ASSIGN(const auto before, history_->unfinished(row_.plan));
    if (!before || before->mode != row_.mode) {  // others expected something else
      TRY_ASSIGN(const std::string why, why_nothing_goes_on(before));
      plan_.notes.push_back(fmt::format("there is nothing to resume: {}; all is run", why));
      return {};
    }
    TRY_ASSIGN(SavedRun saved, load_run(*history_, *before));
    for (const PlanArtifact& artifact : saved.artifacts) {
      if (artifact.kind == "file") files_before_[artifact.case_id].push_back(artifact);
    }
    for (std::size_t at = 0; at < plan_.cases.size(); ++at) {
      CaseResult& one = saved.result.cases[at];
      if (one.status == PlanStatus::not_run) continue;
      settings_.options.done[plan_.cases[at].id] = std::move(one);
    }
    plan_.notes.push_back(fmt::format("run {} goes on: {} of its cases had ended", before->id, settings_.options.done.size()));
    return {};
  }

  Result<std::string> why_nothing_goes_on(const std::optional<PlanRunRow>& before) const {
    if (before) return fmt::format("run {}, which was {}, is a '{}'", before->id, before->state, before->mode);
    TRY_ASSIGN(const auto runs, history_->runs(row_.path, 1));
    if (!runs.empty() && (runs[0].state == "killed" || runs[0].state == "cancelled") && runs[0].plan != row_.plan)
      return fmt::format("the plan has changed since run {} was {}", runs[0].id, runs[0].state);
    return "no run of this plan was killed since one finished";
  }

  void tell_resumed() {
    for (std::size_t at = 0; at < plan_.cases.size(); ++at) {
      const auto done = settings_.options.done.find(plan_.cases[at].id);
      if (done != settings_.options.done.end() && settings_.options.selected[at])
        keeper_->resumed(at, done->second, files_before_[done->first]);
    }
  }

  // ---- the run

  // What stops it here is no fault of a case: all are not run, with the reason.
  void run() {
    if (auto done = run_cases(); !done) {
      own_failure_ = true;
      result_.problem = done.error().what;
      result_.cases.resize(plan_.cases.size());
      result_.executor = settings_.executor;
      result_.image = row_.image;
      result_.started_ms = row_.started_ms;
      for (std::size_t at = 0; at < plan_.cases.size(); ++at) {
        result_.cases[at].steps.resize(plan_.cases[at].steps.size());
        if (settings_.options.selected[at]) result_.cases[at].reason = result_.problem;
      }
    }
    result_.run = row_.id;
    keeper_->settle(result_);
  }

  Result<void> run_cases() {
    // A log gets each step once, a terminal's live line what the installer says as well.
    const bool live = !request_.quiet && TestConsole::display_for(STDOUT_FILENO) == ConsoleOptions::Display::fancy;
    const auto tell = [this, live](std::string_view line) { events_.progress(line, !live); };
    const auto tell_output = [this, live](std::string_view line) {
      if (live) events_.progress(line, false);
    };
    PullDisplay display = PullDisplay::on_stderr(request_.quiet || request_.json, request_.color);
    TRY_ASSIGN(auto root, InstalledRoot::open(settings_, display.teller()));
    display.clear();
    root_.emplace(std::move(root));
    TRY_ASSIGN(engine_, root_->make_engine(tell));
    engine_->every(std::chrono::milliseconds(100), [this] { events_.tick(); });
    TRY(root_->install(plan_.tool, request_.flags.install_again, tell, tell_output));
    TRY(root_->check_shell(settings_.options.shell));
    const InstalledTool& installed = root_->installed();
    if (!installed.version.empty())
      events_.progress(fmt::format("{} {}: {}{}", printable_name(plan_.tool), installed.strategy == "none" ? "is there" : "is installed",
                                   printable_line(installed.version), installed.cached && installed.strategy != "none" ? " (kept)" : ""),
                       true);
    for (const std::string& note : installed.notes) keeper_->note(note);
    settings_.options.base = root_->base();
    TRY_ASSIGN(result_, run_plan(*engine_, expecting(), settings_.options, *keeper_));
    result_.image = root_->image();
    result_.image_digest = root_->digest();
    return {};
  }

  // ---- the end

  [[nodiscard]] int signal() const { return engine_ ? engine_->cancelled_by_signal() : 0; }

  [[nodiscard]] int exit_status(const PlanTotals& sum) const {
    if (signal() != 0) return 128 + signal();
    const bool nothing_ran = sum.passed + sum.failed + sum.error + sum.skipped == 0;
    if (own_failure_ || result_.executor_gone || (!result_.problem.empty() && nothing_ran)) return kOwnFailure;
    return sum.passed == selected_ ? kPassed : kNotAllPassed;
  }

  // Of the chosen cases.
  [[nodiscard]] PlanTotals chosen_totals() const {
    PlanResult chosen;
    for (std::size_t at = 0; at < result_.cases.size(); ++at) {
      if (!settings_.options.selected[at]) continue;
      chosen.cases.emplace_back();
      chosen.cases.back().status = result_.cases[at].status;
    }
    return totals(chosen);
  }

  int end() {
    const PlanTotals sum = chosen_totals();
    int status = exit_status(sum);
    std::vector<std::string> problems;
    const auto keep = [&](const Result<void>& done) {
      if (!done) problems.push_back(done.error().what);
    };
    if (request_.action == Action::record && signal() == 0 && !own_failure_) {
      for (const std::string& note : write_recording(plan_, result_, *normaliser_, document_.value)) keeper_->note(note);
    }
    TestPlan noted = plan_;
    noted.notes.insert(noted.notes.end(), keeper_->notes().begin(), keeper_->notes().end());
    if (!keeper_->trouble().empty()) problems.push_back(keeper_->trouble());
    keep(end_in_history(sum));
    keep(write_plan());
    if (directory_) keep(directory_->finish(noted, result_, document_, *normaliser_, root_ ? root_->log() : ""));
    if (own_failure_ && root_ && !request_.quiet && !request_.json) say(end_of_log(root_->log(), place_of_log()));
    const std::string stopped = signal() != 0 ? fmt::format("interrupted by signal {}", signal())
                                : request_.fail_fast && sum.failed + sum.error > 0 && sum.not_run > 0
                                    ? "stopping after one that did not pass"
                                    : "";
    const bool printed_json = request_.json;
    if (const std::string wrong = events_.end(result_.problem, stopped, status); !wrong.empty()) problems.push_back(wrong);
    for (const std::string& problem : problems) complain(kPlanProgram, problem);
    if (!problems.empty() && status < kOwnFailure) status = kOwnFailure;
    if (printed_json) return put(kPlanProgram, results_text(results_json(noted, result_, *normaliser_)), status);
    // The console says it on stdout: who sees both needs it once.
    if (!result_.problem.empty() && !same_place(STDOUT_FILENO, STDERR_FILENO)) complain(kPlanProgram, result_.problem);
    if (!request_.quiet && !row_.id.empty()) say(fmt::format("run {}: 'casemate plan show {}' shows it again\n", row_.id, row_.id));
    return status;
  }

  // Where all of the installer's log is; "" nowhere.
  [[nodiscard]] std::string place_of_log() const {
    if (directory_) return directory_->install_log();
    return row_.id.empty() ? "" : fmt::format("'casemate plan export {} DIR' writes it to DIR/install.log", row_.id);
  }

  Result<void> end_in_history(const PlanTotals& sum) {
    tell_history(sum);
    if (!history_ || row_.id.empty()) return {};
    PlanRemainder remainder{result_.setup, result_.teardown, result_.problem, result_.image_digest, "", "", keeper_->notes(), false, ""};
    if (root_) {
      remainder.version = root_->installed().version;
      remainder.strategy = root_->installed().strategy;
      remainder.cached = root_->installed().cached;
      remainder.install_log = root_->log();
    }
    TRY(keep_remainder(remainder));
    row_.image = result_.image;
    row_.took_us = result_.took.count();
    row_.state = signal() != 0 || result_.executor_gone ? "cancelled" : "finished";  // --resume takes the former
    row_.passed = sum.passed;
    row_.failed = sum.failed;
    row_.error = sum.error;
    row_.skipped = sum.skipped;
    TRY(history_->end(row_));
    return history_->prune(kRunsKept);
  }

  // For `casemate history`.
  void tell_history(const PlanTotals& sum) const {
    RunRecord run;
    run.started_ms = result_.started_ms;
    run.front_end = "plan";
    run.name = fmt::format("{} {}", mode_word(request_.action), printable_name(request_.plan));
    run.outcome = word(signal() != 0 ? Outcome::Kind::cancelled : Outcome::Kind::exited);
    run.code = exit_status(sum);
    run.wall_us = result_.took.count();
    run.details = Json({{"run", row_.id}, {"total", sum.total}, {"passed", sum.passed}}).dump();
    (void)spool_run(run);
  }

  // The plan that results or a recording go into; "" none.
  [[nodiscard]] std::string written_file() const { return request_.write ? request_.plan : request_.output_file; }

  Result<void> write_plan() {
    const std::string path = written_file();
    if (path.empty() || own_failure_) return {};
    Document written = document_;
    if (request_.action == Action::run) write_result(plan_, result_, written.value);
    if (path.ends_with(".json")) written.format = DocumentFormat::json;
    if (path.ends_with(".yaml") || path.ends_with(".yml")) written.format = DocumentFormat::yaml;
    if (request_.write) {
      const auto now = read_file(request_.plan);
      if (!now || *now != text_)
        return fail(ErrorCode::refused,
                    fmt::format("{} has changed while it was run: nothing is written into it", printable_name(request_.plan)));
    }
    return rewrite(path, to_text(written));
  }

  const PlanRequest& request_;
  const std::vector<std::string>& arguments_;
  std::string text_;
  Document document_;
  TestPlan plan_;
  std::optional<TestPlan> unexpecting_;
  PlanSettings settings_;
  std::size_t selected_ = 0;
  std::map<std::string, std::vector<PlanArtifact>> files_before_;  // by case: of the run that goes on
  std::optional<Normaliser> normaliser_;
  std::optional<PlanHistory> history_;
  PlanRunRow row_;
  std::optional<Recording> recording_;
  CompareMode mode_ = CompareMode::exact;
  std::optional<ResultsDirectory> directory_;
  PlanEvents events_;
  std::optional<RunKeeper> keeper_;
  std::optional<InstalledRoot> root_;
  Engine* engine_ = nullptr;
  PlanResult result_;
  bool own_failure_ = false;
};

}  // namespace

int status_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_input:
    case ErrorCode::not_found:
      return kPlanUsage;
    default:
      return kOwnFailure;
  }
}

int refuse_plan(const PlanRequest& request, const Error& error, int status) {
  if (request.json)
    (void)put(kPlanProgram, Json({{"error", to_utf8(error.what)}}).dump(2, ' ', false, Json::error_handler_t::replace) + "\n", status);
  std::istringstream lines(error.what);
  for (std::string line; std::getline(lines, line);) complain(kPlanProgram, line);
  return status;
}

int run_plan_command(const PlanRequest& request, const std::vector<std::string>& arguments) { return PlanCommand(request, arguments).go(); }

}  // namespace casemate
