#include "report/history_sink.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/shell_words.h"
#include "report/event_json.h"
#include "store/history.h"

namespace casemate {
namespace {

constexpr std::size_t kBatch = 1000;
constexpr std::chrono::seconds kPeriod(1);
constexpr std::size_t kMostPending = 100'000;  // while another program holds the database
constexpr std::size_t kTrimmedText = 4096, kTrimmedReports = 100;

TestResultRecord record_of(const TestResult& result) {
  TestResultRecord record;
  record.node = result.test.id;
  record.container = result.container;
  record.verdict = word(result.verdict);
  record.outcome = word(result.outcome.kind);
  record.code = result.outcome.code;
  record.attempt = result.attempt;
  record.last = result.last;
  record.flaky = result.flaky;
  record.needs_others = result.needs_others;
  record.cached = result.cached;
  record.began_us = result.began.count();
  record.duration_us = result.duration.count();
  if (result.cell_is_its_own) {
    record.cpu_us = (result.resources.user_cpu + result.resources.system_cpu).count();
    record.peak_memory_bytes = result.resources.peak_memory_bytes;
  }
  record.slot = result.slot;
  record.reason = result.reason;
  for (const Leftover& process : result.leftovers) {
    if (!record.leak.empty()) record.leak += ", ";
    record.leak += process.name;
    if (record.leak.size() > 300) break;  // the history keeps less
  }
  return record;
}

// What remains of a result where the log, or a line of it, has no room for more: of one that failed, the beginnings of its first
// failures' texts.
TestResult trimmed(const TestResult& result) {
  TestResult rest = result;
  const bool had_texts = !rest.output.merged.empty() || !rest.reports.empty();
  rest.output = {};
  rest.warnings.clear();
  rest.properties.clear();
  std::erase_if(rest.reports, [](const TestReport& report) { return report.outcome == "passed"; });
  if (rest.reports.size() > kTrimmedReports) rest.reports.resize(kTrimmedReports);
  for (TestReport& report : rest.reports) {
    report.sections.clear();
    report.text.resize(std::min(report.text.size(), kTrimmedText));
    report.message.resize(std::min(report.message.size(), kTrimmedText));
  }
  if (is_bad(rest.verdict) && had_texts) rest.notes.emplace_back("its output is not kept: the record of this run is full");
  return rest;
}

// The event in at most about `limit` bytes, so that it is read back.
std::string line_within(const TestResult& result, std::size_t limit) {
  std::string line = event_line(result);
  return line.size() <= limit ? line : event_line(trimmed(result));
}

std::string line_within(const Collected& collected, std::size_t limit) {
  std::string line = event_line(collected);
  if (line.size() <= limit) return line;
  Collected rest = collected;
  std::size_t kept = 0;
  for (TestResult& problem : rest.problems) {
    problem = trimmed(problem);
    kept += event_line(problem).size();
    if (kept > limit / 2) problem.reports.clear();  // its name and reason remain
  }
  return event_line(rest);
}

std::int64_t milliseconds_of(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

void HistorySink::run_started(const RunStart& run) {
  run_ = {};
  run_.project = run.directory;
  run_.front_end = run.front_end;
  run_.arguments = run.arguments;
  if (options_.code) options_.code->begin();
  run_.began_ms = milliseconds_of(run.began);
  pending_.clear();
  log_.reset();
  const auto id = history_.begin(run_);
  rows_ = id.has_value();
  if (id)
    run_.id = *id;
  else
    give_up_rows(id.error());
  if (auto log = RunLogWriter::create(run.directory, options_.directory))
    log_.emplace(std::move(*log));
  else if (problem_.empty())
    problem_ = "the events of this run are not kept: " + log.error().what;
  log(event_line(run));
}

void HistorySink::give_up_rows(const Error& error) {
  rows_ = false;
  pending_.clear();
  if (problem_.empty()) problem_ = "the history of this run is not kept, or not all of it: " + error.what;
}

void HistorySink::log(const std::string& line) {
  if (!log_ || line.size() > kEventLineLimit) return;  // nobody would read the log beyond such a line
  const auto added = log_->append(line);
  if (added) return;
  if (problem_.empty()) problem_ = "the events of this run are not kept: " + added.error().what;
  log_.reset();
}

void HistorySink::keep(const TestResult& result) {
  if (rows_) pending_.push_back(record_of(result));
}

void HistorySink::progress(std::string_view line, bool finished) {
  if (finished) log(progress_line(line, finished));
}

void HistorySink::collected(const Collected& collected) {
  versions_ = fmt::format("python {}, pytest {}", collected.python, collected.pytest);
  for (const TestResult& problem : collected.problems) keep(problem);
  if (log_) log(line_within(collected, options_.event_bytes));
}

void HistorySink::test_finished(const TestResult& result) {
  keep(result);
  if (log_ && log_->bytes() < options_.log_bytes)
    log(line_within(result, options_.event_bytes));
  else if (log_ && log_->bytes() < 4 * options_.log_bytes)
    log(event_line(trimmed(result)));
  if (pending_.size() >= kBatch || Clock::now() - flushed_ >= kPeriod) flush();
}

void HistorySink::note(std::string_view line) { log(note_line(line)); }

void HistorySink::tick(std::chrono::microseconds /*since_began*/) {
  if (Clock::now() - flushed_ >= kPeriod) flush();
}

// A database that is locked is tried again a second later.
void HistorySink::flush() {
  flushed_ = Clock::now();
  if (!rows_ || pending_.empty()) return;
  const auto added = history_.add(run_.id, pending_);
  if (added)
    pending_.clear();
  else if (added.error().code != ErrorCode::refused || pending_.size() > kMostPending)
    give_up_rows(added.error());
}

// A line among the jobs of all front ends; only for the history that everybody has.
void HistorySink::spool() const {
  if (!options_.directory.empty()) return;
  RunRecord record;
  record.started_ms = run_.began_ms;
  record.front_end = run_.front_end;
  std::vector<std::string> words{run_.front_end};
  words.insert(words.end(), run_.arguments.begin(), run_.arguments.end());
  record.name = join_shell_words(words);
  record.outcome = word(Outcome::Kind::exited);
  record.code = run_.exit_status;
  record.wall_us = run_.took_us;
  nlohmann::ordered_json details = {{"project", run_.project}, {"tests", run_.counts}, {"test_run", run_.id}};
  if (options_.remote) details["remote"] = nlohmann::ordered_json::object();
  record.details = details.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  static_cast<void>(spool_run(record));
}

std::string HistorySink::run_finished(const RunEnd& end) {
  flush();
  if (options_.code) run_.source = options_.code->end();
  if (!run_.source.empty()) run_.source += ", " + versions_;
  run_.took_us = end.took.count();
  for (std::size_t i = 0; i < std::size(end.counts); ++i) {
    if (end.counts[i] > 0) run_.counts[std::string(word(static_cast<Verdict>(i)))] = static_cast<std::int64_t>(end.counts[i]);
  }
  run_.flaky = static_cast<std::int64_t>(end.flaky);
  run_.not_run = static_cast<std::int64_t>(end.not_run);
  run_.stopped_because = end.stopped_because;
  run_.problem = end.problem;
  run_.exit_status = end.exit_status;
  if (rows_ && !pending_.empty()) give_up_rows({ErrorCode::refused, "the database was locked by another program until the end"});
  if (run_.id != 0) {
    if (const auto finished = history_.finish(run_, options_.bounds); !finished) give_up_rows(finished.error());
  }
  log(event_line(end));
  if (log_) {
    if (const auto published = log_->publish(); !published && problem_.empty())
      problem_ = "the events of this run are not kept: " + published.error().what;
    log_.reset();
  }
  spool();
  return "";
}

}  // namespace casemate
