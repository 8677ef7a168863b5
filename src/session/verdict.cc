#include "session/verdict.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/test_words.h"

namespace casemate {
namespace {

constexpr std::uint64_t kMostHeard = 64 << 20;  // bytes of a stream; what comes later is kept without its texts
constexpr std::size_t kMostReports = 10'000;    // of a test, from there on

std::string reason_of(const TestReport& report) {
  if (!report.message.empty()) return std::string(first_line(report.message));
  return std::string(first_line(report.text));
}

const TestReport* find(const std::vector<TestReport>& reports, std::string_view outcome, bool call) {
  const auto found = std::find_if(reports.begin(), reports.end(),
                                  [&](const TestReport& report) { return report.outcome == outcome && (report.when == "call") == call; });
  return found == reports.end() ? nullptr : &*found;
}

// How a process ended that had not told all: what people want to know first.
std::string reason_of_end(const Outcome& outcome) {
  if (outcome.kind == Outcome::Kind::exited) return fmt::format("the test ended its own process (exit status {})", outcome.code);
  std::string told = words(outcome);
  if (told.find(outcome.detail) == std::string::npos) told += ": " + outcome.detail;
  return told;
}

bool is_limit(Outcome::Kind kind) {
  return kind == Outcome::Kind::out_of_memory || kind == Outcome::Kind::too_many_processes || kind == Outcome::Kind::disk_limit;
}

// What a plain pytest would have ended in is not told as a report of it: a test is over with its tear-down.
bool torn_down(const std::vector<TestReport>& reports) {
  return std::any_of(reports.begin(), reports.end(), [](const TestReport& report) { return report.when == "teardown"; });
}

}  // namespace

Verdict verdict_of_reports(const std::vector<TestReport>& reports, std::string& reason) {
  if (const TestReport* failed = find(reports, "failed", true)) {
    reason = reason_of(*failed);
    if (!failed->subtest.empty()) reason = failed->subtest + " " + reason;
    return Verdict::failed;
  }
  if (const TestReport* failed = find(reports, "failed", false)) {
    reason = fmt::format("{} failed: {}", failed->when, reason_of(*failed));
    return Verdict::error;
  }
  for (const TestReport& report : reports) {
    if (!report.subtest.empty() || (!report.xfail && report.outcome != "skipped")) continue;
    reason = report.xfail ? *report.xfail : reason_of(report);
    if (!report.xfail) return Verdict::skipped;
    return report.outcome == "skipped" ? Verdict::xfailed : Verdict::xpassed;
  }
  reason.clear();
  return Verdict::passed;
}

void UnitReport::add(std::string_view bytes) {
  heard_ += bytes.size();
  reader_.add(bytes, [this](StreamLine line) { hear(std::move(line)); });
  damaged_ |= reader_.dropped() > 0;
}

UnitReport::OneTest* UnitReport::test_of(const std::string& id) {
  const auto found = tests_.find(id);
  return found == tests_.end() ? nullptr : &found->second;
}

// Past what is kept, how it ended still counts.
void UnitReport::hear_report(OneTest& test, StreamReport said) {
  test.begun = true;
  TestReport& report = said.report;
  if (heard_ > kMostHeard) {
    report.text = report.text.empty() ? "" : "[casemate: left out, this cell's reports are more than 64 MiB]";
    report.message.resize(std::min<std::size_t>(report.message.size(), 1000));
    report.path.resize(std::min<std::size_t>(report.path.size(), 1000));
    report.subtest.resize(std::min<std::size_t>(report.subtest.size(), 1000));
    report.sections.clear();
    const auto same = [&](const TestReport& other) { return other.when == report.when && other.outcome == report.outcome; };
    if (test.reports.size() > kMostReports && std::any_of(test.reports.begin(), test.reports.end(), same)) return;
    said.properties.clear();
  }
  test.reports.push_back(std::move(report));
  if (!said.properties.empty()) test.properties = std::move(said.properties);
}

void UnitReport::hear(StreamLine line) {
  if (auto* begin = std::get_if<StreamBegin>(&line)) {
    if (OneTest* test = test_of(begin->id)) test->begun = true;
  } else if (auto* report = std::get_if<StreamReport>(&line)) {
    if (OneTest* test = test_of(report->id)) hear_report(*test, std::move(*report));
  } else if (auto* warning = std::get_if<StreamWarning>(&line)) {
    OneTest* test = heard_ > kMostHeard ? nullptr : test_of(warning->id);
    if (test) test->warnings.push_back(std::move(warning->warning));
  } else if (auto* end = std::get_if<StreamEnd>(&line)) {
    if (OneTest* test = test_of(end->id)) test->ended = true;
  } else if (auto* missing = std::get_if<StreamMissing>(&line)) {
    if (OneTest* test = test_of(missing->id)) test->missing = true;
  } else if (auto* stop = std::get_if<StreamStop>(&line)) {
    stop_ = stop->text.empty() ? "pytest.exit" : std::move(stop->text);
  } else if (auto* measured = std::get_if<StreamCoverage>(&line)) {
    if (heard_ <= 4 * kMostHeard) coverage_.push_back(std::move(measured->line));
  } else if (std::holds_alternative<StreamDone>(line)) {
    done_ = true;
  } else if (std::holds_alternative<std::monostate>(line)) {
    damaged_ = true;
  }
}

TestResult UnitReport::judge_one(const TestCase& test, OneTest& found, const JobResult& ended) const {
  TestResult result;
  result.test = test;
  result.reports = std::move(found.reports);
  result.warnings = std::move(found.warnings);
  result.properties = std::move(found.properties);
  result.outcome = {Outcome::Kind::exited, 0};
  for (const TestReport& report : result.reports) {
    if (report.subtest.empty()) result.duration += report.duration;
  }
  if (found.ended && (stop_.empty() || torn_down(result.reports))) {
    result.verdict = verdict_of_reports(result.reports, result.reason);
    // What was lost in it may have been a failure.
    if (damaged_ && !is_bad(result.verdict)) {
      result.verdict = Verdict::failed;
      result.reason = "its report is damaged: it writes to descriptors that it has not opened";
    }
    // A failure in a cell whose limit was hit is told by the limit's name, where no other test can have hit it.
    if (is_bad(result.verdict) && tests_.size() == 1 && is_limit(ended.outcome.kind)) {
      result.outcome = ended.outcome;
      result.reason = fmt::format("{}; {}", words(ended.outcome), result.reason);
    }
    return result;
  }
  result.outcome = ended.outcome;
  result.duration = std::max(result.duration, ended.resources.wall);
  if (ended.outcome.kind == Outcome::Kind::cancelled) {
    result.verdict = Verdict::cancelled;
  } else if (found.missing) {
    result.verdict = Verdict::lost;
    result.reason = "its file was collected again, and this test was not there";
  } else if (!stop_.empty()) {
    result.verdict = Verdict::failed;
    result.reason = "it ended pytest: " + std::string(first_line(stop_));
  } else if (ended.outcome.kind == Outcome::Kind::lost || ended.outcome.kind == Outcome::Kind::setup_failed) {
    result.verdict = Verdict::lost;
    result.reason = reason_of_end(ended.outcome);
  } else {
    // What it had reported stands, a later phase or its very end is missing.
    result.verdict = Verdict::failed;
    result.reason = reason_of_end(ended.outcome);
  }
  return result;
}

UnitReport::Judged UnitReport::judge(const std::vector<TestCase>& tests, JobResult ended) {
  Judged judged;
  judged.stop = stop_;
  for (const TestCase& test : tests) {
    OneTest& found = tests_[test.id];
    if (tests.size() > 1 && !found.begun && !found.missing && &test != &tests.front()) {
      judged.not_begun.push_back(test);
      continue;
    }
    TestResult result = judge_one(test, found, ended);
    result.cell_is_its_own = tests.size() == 1;
    result.resources = ended.resources;
    judged.results.push_back(std::move(result));
  }
  // What belongs to the cell is told once: with its last test.
  if (!judged.results.empty()) {
    judged.results.back().output = std::move(ended.output);
    judged.results.back().leftovers = std::move(ended.leftovers);
  }
  return judged;
}

}  // namespace casemate
