#include "session/collector.h"

#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/test_words.h"

namespace casemate {
namespace {

constexpr std::size_t kMostRewritten = 80u << 20;  // the rest is made anew

}  // namespace

void Collector::report(std::string_view bytes) {
  reader.add(bytes, [this](StreamLine line) {
    if (auto* item = std::get_if<StreamItem>(&line)) {
      tests.push_back(std::move(item->test));
    } else if (auto* file = std::get_if<StreamFile>(&line)) {
      if (!file->left.empty()) left[file->file] = printable_name(file->left.front());
      hashes[file->file] = std::move(file->hash);
    } else if (auto* problem = std::get_if<StreamProblem>(&line)) {
      problems.push_back(std::move(*problem));
    } else if (auto* measured = std::get_if<StreamCoverage>(&line)) {
      coverage.add(measured->line);
    } else if (const auto* code = std::get_if<StreamRewritten>(&line)) {
      if (rewritten.size() + code->line.size() < kMostRewritten) rewritten += code->line + "\n";
    } else if (auto* said = std::get_if<StreamAbout>(&line)) {
      about = std::move(*said);
    } else if (auto* end = std::get_if<StreamDone>(&line)) {
      damaged |= done.has_value();
      done = std::move(*end);
    }
    damaged |= std::holds_alternative<std::monostate>(line);
  });
  damaged |= reader.dropped() > 0;
}

// pytest's words for its own statuses: 4 is a usage error, 5 nothing collected.
int collecting_status(const JobResult& ended) {
  if (ended.outcome.kind == Outcome::Kind::exited && (ended.outcome.code == 4 || ended.outcome.code == 2 || ended.outcome.code == 1))
    return 2;
  if (ended.outcome.kind == Outcome::Kind::exited && ended.outcome.code == 5) return 4;
  return 3;
}

std::string last_words(const JobResult& ended) {
  std::string text = ended.output.err.empty() ? ended.output.out : ended.output.err;
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string collecting_problem(const JobResult& ended) {
  std::string text = last_words(ended);
  constexpr std::string_view kPytests = "ERROR: ";  // ours says so too
  if (text.starts_with(kPytests)) text.erase(0, kPytests.size());
  if (!text.empty()) return text;
  if (ended.outcome.kind == Outcome::Kind::lost) return "the tests could not be collected: " + printable_line(words(ended.outcome));
  return fmt::format("the interpreter that collects ended before it had done so ({}): see where with 'python -m pytest --collect-only'",
                     words(ended.outcome));
}

std::string tied_note(const std::set<std::string>& files, std::string_view left) {
  const std::string first = printable_name(*files.begin());
  if (files.size() == 1) return fmt::format("{} leaves {} when it is collected: its tests get fresh interpreters", first, left);
  return fmt::format("{} and {} more leave {} when they are collected: their tests get fresh interpreters", first, files.size() - 1, left);
}

TestResult result_of(const StreamProblem& problem) {
  TestResult result;
  result.test.id = problem.id;
  result.test.file = problem.id.substr(0, problem.id.find("::"));
  result.verdict = problem.report.outcome == "skipped" ? Verdict::skipped : Verdict::error;
  result.reason = first_line(problem.report.message.empty() ? problem.report.text : problem.report.message);
  result.outcome = {Outcome::Kind::exited, 0};
  result.reports.push_back(problem.report);
  return result;
}

}  // namespace casemate
