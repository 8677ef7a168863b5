#include "session/verdict.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

std::string report(const std::string& id, const std::string& when, const std::string& outcome, const std::string& more = "") {
  return R"({"report": {"id": ")" + id + R"(", "when": ")" + when + R"(", "outcome": ")" + outcome + "\"" + more + "}}\n";
}
std::string line(const std::string& key, const std::string& id) { return "{\"" + key + "\": \"" + id + "\"}\n"; }
std::string passed(const std::string& id) {
  return report(id, "setup", "passed") + report(id, "call", "passed") + report(id, "teardown", "passed");
}

JobResult ended(Outcome outcome = {Outcome::Kind::exited, 0}) {
  JobResult result;
  result.outcome = std::move(outcome);
  return result;
}

// Of tests named `ids` that shared a cell, which said `stream`.
UnitReport::Judged judge(const std::vector<std::string>& ids, const std::string& stream, JobResult result = ended()) {
  UnitReport unit;
  std::vector<TestCase> tests;
  for (const std::string& id : ids) {
    unit.expect(id);
    tests.emplace_back().id = id;
  }
  unit.add(stream);
  return unit.judge(tests, std::move(result));
}

Verdict one(const std::string& stream, JobResult result = ended()) {
  const auto judged = judge({"a"}, stream, std::move(result));
  EXPECT_EQ(judged.results.size(), 1u);
  return judged.results.at(0).verdict;
}

TEST(UnitReport, SilenceIsNoPass) {
  EXPECT_EQ(one(""), Verdict::failed);
  EXPECT_EQ(one(passed("a")), Verdict::failed);  // its very end is missing
  EXPECT_EQ(one(passed("a") + line("end", "a")), Verdict::passed);
}

TEST(UnitReport, OneTestsWordsDoNotCountForAnother) {
  EXPECT_EQ(one(passed("b") + line("end", "b")), Verdict::failed);
  const auto judged =
      judge({"a", "b"}, line("begin", "a") + passed("a") + line("end", "a") + line("begin", "b"), ended({Outcome::Kind::signaled, 9}));
  ASSERT_EQ(judged.results.size(), 2u);
  EXPECT_EQ(judged.results[0].verdict, Verdict::passed);
  EXPECT_EQ(judged.results[1].verdict, Verdict::failed);
  EXPECT_EQ(judged.results[1].reason, "signaled 9 (SIGKILL)");
}

TEST(UnitReport, ALimitIsToldOnce) {
  const auto reason = [](Outcome outcome) { return judge({"a"}, "", ended(std::move(outcome))).results.at(0).reason; };
  EXPECT_EQ(reason({Outcome::Kind::timed_out, 0, "", "wall time 8.00 s"}), "timed out (wall time 8.00 s)");
  EXPECT_EQ(reason({Outcome::Kind::out_of_memory, 0, "", "limit 300.0 MiB"}), "out of memory (limit 300.0 MiB)");
  EXPECT_EQ(reason({Outcome::Kind::lost, 0, "", "the cell's init exited 0"}).find("the cell's init exited 0"),
            reason({Outcome::Kind::lost, 0, "", "the cell's init exited 0"}).rfind("the cell's init exited 0"));
}

TEST(UnitReport, WhatHasNotBegunGetsAnotherCell) {
  const auto judged = judge({"a", "b", "c"}, line("begin", "a"), ended({Outcome::Kind::exited, 3}));
  EXPECT_EQ(judged.results.size(), 1u);
  EXPECT_EQ(judged.not_begun.size(), 2u);
}

TEST(UnitReport, ATestThatEndsPytestHasNotPassed) {
  const std::string stop = report("a", "setup", "passed") + line("end", "a") + line("stop", "Exit: enough");
  const auto judged = judge({"a"}, stop);
  EXPECT_EQ(judged.results.at(0).verdict, Verdict::failed);
  EXPECT_EQ(judged.results.at(0).reason, "it ended pytest: Exit: enough");
  EXPECT_EQ(judged.stop, "Exit: enough");
  // A plugin that wants no more tests: this one was whole.
  EXPECT_EQ(one(passed("a") + line("end", "a") + line("stop", "enough")), Verdict::passed);
}

TEST(UnitReport, AFailureCountsHoweverMuchCameBefore) {
  UnitReport unit;
  unit.expect("a");
  const std::string text(1 << 20, 'x');
  for (int i = 0; i < 70; ++i) unit.add(report("a", "call", "passed", R"(, "text": ")" + text + "\", \"subtest\": \"s\""));
  for (int i = 0; i < 11'000; ++i) unit.add(report("a", "call", "passed"));
  unit.add(report("a", "call", "failed", R"(, "message": "late")") + line("end", "a"));
  TestCase test;
  test.id = "a";
  const auto judged = unit.judge({test}, ended());
  EXPECT_EQ(judged.results.at(0).verdict, Verdict::failed);
  EXPECT_EQ(judged.results.at(0).reason, "late");
  EXPECT_LT(judged.results.at(0).reports.size(), 10'100u);
  std::size_t kept = 0;
  for (const TestReport& one : judged.results.at(0).reports) kept += one.text.size();
  EXPECT_LT(kept, 66u << 20);
}

TEST(UnitReport, WhatBelongsToTheCellIsToldWithItsLastTest) {
  JobResult result = ended();
  result.output.out = "printed";
  result.leftovers.push_back({7, "sleep"});
  const auto judged =
      judge({"a", "b"}, passed("a") + line("end", "a") + line("begin", "b") + passed("b") + line("end", "b"), std::move(result));
  ASSERT_EQ(judged.results.size(), 2u);
  EXPECT_TRUE(judged.results[0].leftovers.empty());
  EXPECT_EQ(judged.results[1].leftovers.size(), 1u);
  EXPECT_EQ(judged.results[1].output.out, "printed");
}

TEST(UnitReport, WhatIsLostInADamagedReportMayHaveBeenAFailure) {
  const std::string rest = report("a", "teardown", "passed") + line("end", "a");
  EXPECT_EQ(one("junk" + report("a", "setup", "failed") + rest), Verdict::failed);
  EXPECT_EQ(one("junk\n" + passed("a") + line("end", "a")), Verdict::failed);
}

TEST(UnitReport, AFailureAtALimitHasItsName) {
  const std::string failed =
      report("a", "call", "failed", R"(, "message": "no memory")") + report("a", "teardown", "passed") + line("end", "a");
  const auto judged = judge({"a"}, failed, ended({Outcome::Kind::too_many_processes, 0, "", "limit 30"}));
  EXPECT_EQ(judged.results.at(0).outcome.kind, Outcome::Kind::too_many_processes);
  EXPECT_NE(judged.results.at(0).reason.find("no memory"), std::string::npos);
  EXPECT_EQ(one(passed("a") + line("end", "a"), ended({Outcome::Kind::too_many_processes})), Verdict::passed);
}

TEST(VerdictOfReports, WordsOfPytest) {
  const auto verdict = [](std::vector<TestReport> reports) {
    std::string reason;
    return verdict_of_reports(reports, reason);
  };
  const auto said = [](const char* when, const char* outcome) {
    TestReport made;
    made.when = when;
    made.outcome = outcome;
    return made;
  };
  EXPECT_EQ(verdict({said("setup", "failed")}), Verdict::error);
  EXPECT_EQ(verdict({said("setup", "passed"), said("call", "passed"), said("teardown", "failed")}), Verdict::error);
  EXPECT_EQ(verdict({said("setup", "skipped")}), Verdict::skipped);
  EXPECT_EQ(verdict({said("setup", "passed"), said("call", "failed"), said("teardown", "failed")}), Verdict::failed);
  TestReport expected = said("call", "skipped");
  expected.xfail = "why";
  EXPECT_EQ(verdict({expected}), Verdict::xfailed);
  expected.outcome = "passed";
  EXPECT_EQ(verdict({expected}), Verdict::xpassed);
}

}  // namespace
}  // namespace casemate
