#include "session/suite.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/pull_progress.h"
#include "report/test_words.h"
#include "session/verdict.h"
#include "warm/executor.h"

namespace casemate {
namespace {

constexpr std::size_t kProgressColumns = 100;

// It could not begin, for reasons that are not its command's.
bool is_setup(const Outcome& outcome) { return outcome.kind == Outcome::Kind::setup_failed && !outcome.step.starts_with("execve"); }

}  // namespace

EarlyEnd early_end(const Error& error) {
  const bool users = error.code == ErrorCode::invalid_input || error.code == ErrorCode::not_found;
  return {users ? 2 : 3, error.what};
}

// Pulls tell of themselves in threads of their own too; sinks are called by one.
void Suite::tell_pull(const PullProgress& progress) {
  // What is there already takes no time.
  if (progress.phase == PullProgress::Phase::resolving || progress.phase == PullProgress::Phase::done) return;
  const std::lock_guard held(pulling_);
  sinks_.progress(progress_line(progress, kProgressColumns, false));
}

Result<void> Suite::read() {
  if (!options_.furnish) {
    TRY_ASSIGN(directives_, Directives::around(request_));
  }
  directives_.override_with(request_);
  for (const std::string& note : directives_.notes()) sinks_.note(note);
  TRY_ASSIGN(choice_, TestChoice::parse(request_));
  return {};
}

Result<void> Suite::open(Engine& engine) {
  engine_ = &engine;
  executors_.emplace(engine, request_, directives_,
                     Executors::Ears{.note = [this](std::string_view line) { sinks_.note(line); },
                                     .progress = [this](std::string_view line) { sinks_.progress(line); },
                                     .pull = [this](const PullProgress& progress) { tell_pull(progress); },
                                     .furnish = options_.furnish});
  TRY_ASSIGN(collecting_in_, executors_->of(directives_.of_all()));
  look_for_results(collecting_in_, directives_.of_all());
  return {};
}

std::optional<EarlyEnd> Suite::collect() {
  Job job;
  job.name = "collect";
  job.argv = {"collect"};
  job.executor = name_of_collecting();
  auto ended = engine_->run(std::move(job), &collector_);
  if (!ended) return early_end(ended.error());
  if (engine_->cancelled_by_signal() != 0) return std::nullopt;
  collecting_took_ = ended->resources.wall;
  // An engine that goes away meanwhile, or loses it: once more, here or there.
  if (!collector_.done && slots().cells == 0 && slots().groups > 0) {
    const bool gone = note_whether_unable(ended->outcome);
    const bool lost = ended->outcome.kind == Outcome::Kind::lost && !std::exchange(collects_again_, true);
    if (!unable_ && (gone || lost)) {
      collector_ = Collector();
      return collect();
    }
  }
  const WarmExecutor* const cells = executors_->cells(collecting_in_);
  if (!collector_.about && !cells && collector_.done) collector_.damaged = true;
  if (collector_.about || cells) {
    for (const std::string& note : collector_.about ? collector_.about->notes : cells->notes()) sinks_.note(note);
  }
  if (!collector_.done) {
    const Furnishing& furnished = executors_->furnishing(collecting_in_);
    const std::string missing = what_is_missing(furnished, directives_.container(collecting_in_), request_.directory, *ended);
    if (!missing.empty()) return EarlyEnd{2, missing};
    if (unable_) return EarlyEnd{3, *unable_};
    return EarlyEnd{collecting_status(*ended), collecting_problem(*ended)};
  }
  // A test may be missing in it, and nobody would miss it.
  if (collector_.damaged)
    return EarlyEnd{
        3, "the list of collected tests is damaged: what collection runs (a conftest.py?) writes to descriptors that it has not opened"};
  // pytest itself gave up: a path that is not there, an expression that makes no sense, pytest.exit().
  const int status = collector_.done->status;
  if (status != 0 && status != 5 && collector_.tests.empty() && collector_.problems.empty()) {
    ended->outcome = {Outcome::Kind::exited, status};
    ended->output.err = collector_.done->text;
    return EarlyEnd{collecting_status(*ended), collecting_problem(*ended)};
  }
  if (cache_ && collector_.coverage.any()) cache_->switch_off("coverage is of what runs");
  if (cache_ && request_.repeat > 1) cache_->switch_off("--repeat is for running them");
  std::stable_sort(collector_.problems.begin(), collector_.problems.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return std::nullopt;
}

Result<void> Suite::select(Collected& collected) {
  collected.deselected = collector_.done->deselected;
  collected.python = collector_.about ? collector_.about->python : executors_->cells(collecting_in_)->python();
  collected.pytest = collector_.about ? collector_.about->pytest : executors_->cells(collecting_in_)->pytest();
  const std::size_t all = collector_.tests.size();
  selected_ = select_tests(std::exchange(collector_.tests, {}), choice_, directives_);
  collected.deselected += all - selected_.size();
  if (options_.history) {
    const auto done = look_back(selected_, *options_.history, directives_, request_, !options_.list);
    if (!done) sinks_.note(done.error().what);
  }
  take_shard(selected_, request_);
  if (!options_.list) {
    TRY(find_executors());
    TiedFiles tied = find_tied(selected_, collector_);
    for (const std::string& note : tied.notes) sinks_.note(note);
    tied_ = std::move(tied.files);
  }
  collected.selected = selected_.size();
  collected.ignored =
      static_cast<std::size_t>(std::count_if(selected_.begin(), selected_.end(), [](const SelectedTest& one) { return one.ignored; }));
  for (StreamProblem& problem : collector_.problems)
    (problem.report.outcome == "skipped" ? skipped_files_ : collected.problems).push_back(result_of(problem));
  problems_ = collected.problems.size();
  return {};
}

Result<void> Suite::find_executors() {
  std::map<std::size_t, std::size_t> known;  // by container
  for (SelectedTest& selected : selected_) {
    if (selected.ignored) continue;
    if (!known.contains(selected.container)) {
      TRY_ASSIGN(known[selected.container], executors_->of(selected.container));
      look_for_results(known[selected.container], selected.container);
    }
    selected.executor = known[selected.container];
    const auto hash = collector_.hashes.find(selected.test.file);
    // Another container's interpreter has another idea of a hash.
    if (hash != collector_.hashes.end() && selected.executor == collecting_in_) selected.hash = hash->second;
  }
  return {};
}

void Suite::look_for_results(std::size_t executor, std::size_t container) {
  if (cache_) cache_->look(executor, executors_->furnishing(executor), directives_.container(container).name());
}

bool Suite::note_whether_unable(const Outcome& outcome) {
  const bool gone = outcome.kind == Outcome::Kind::lost && outcome.step == kExecutorGone;
  if (!gone && !is_setup(outcome)) return false;
  const std::string why = outcome.detail.empty() ? words(outcome) : outcome.detail;
  if (request_.remote && request_.remote->fallback && !is_all_cold()) {
    if (slots().groups == 0) return true;  // another group said so
    sinks_.note(fmt::format("{}: the rest runs here", printable_line(why)));
    executors_->leave_groups();
    return true;
  }
  unable_ = why;
  return true;
}

}  // namespace casemate
