// A plan's results in JUnit XML and in an HTML page, by the sinks that every front end has.
#include "testplan/plan_sinks.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "report/html.h"
#include "report/junit.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

TestPlan plan() {
  TestPlan made{.tool = "jq"};
  made.setup = {{.id = "setup-1", .type = PlanStep::Type::setup, .command = "x"}};
  for (const char* id : {"good", "bad", "odd", "left", "never"})
    made.cases.push_back({.id = id,
                          .name = "a name",
                          .tags = {"smoke"},
                          .steps = {{.id = "s", .command = "jq <in", .pointer = "/c"}},
                          .main = 0,
                          .pointer = "/c"});
  return made;
}

CaseResult ended(PlanStatus status, const std::string& reason) {
  StepResult step{.status = status,
                  .reason = reason,
                  .outcome = Outcome{Outcome::Kind::exited, 1, "", ""},
                  .out = "said\x1b[31m\xff",
                  .err = std::string(100'000, 'e')};
  return {.status = status, .reason = reason, .steps = {step}, .took = std::chrono::milliseconds(5)};
}

PlanResult result() {
  PlanResult made{.started_ms = 1'700'000'000'000, .took = std::chrono::milliseconds(50)};
  made.setup = {{.status = PlanStatus::failed, .reason = "exited 1"}};
  made.cases = {ended(PlanStatus::passed, ""), ended(PlanStatus::failed, "exited 1, expected 0"), ended(PlanStatus::error, "timed out"),
                ended(PlanStatus::skipped, "no 'bad'")};
  return made;
}

TEST(PlanSinks, a_case_is_a_test) {
  const TestResult bad = test_result({.file = "plan.yaml"}, plan().cases[1], result().cases[1]);
  EXPECT_EQ(bad.test.id, "plan.yaml::bad");
  EXPECT_EQ(bad.test.markers, std::vector<std::string>{"smoke"});
  EXPECT_EQ(bad.verdict, Verdict::failed);
  EXPECT_EQ(bad.reports.at(0).text, "$ jq <in\nfailed: exited 1, expected 0\n");
  EXPECT_EQ(bad.reports[0].sections.at(0).second, "said\x1b[31m\xef\xbf\xbd");
  EXPECT_LT(bad.reports[0].sections.at(1).second.size(), 66'000u);
}

TEST(PlanSinks, junit_and_html) {
  std::string directory = testing::TempDir() + "casemate-plan-sinks-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  JunitReport junit(directory + "/junit.xml");
  HtmlReport html({.path = directory + "/page.html"});
  EXPECT_EQ(tell_sinks({.file = "plan.yaml", .directory = "/p", .exit_status = 1}, plan(), result(), {&junit, &html}),
            std::vector<std::string>{});
  const std::string xml = read_file(directory + "/junit.xml").value_or(""), page = read_file(directory + "/page.html").value_or("");
  JunitReport nowhere(directory + "/junit.xml/below.xml");
  EXPECT_EQ(tell_sinks({.file = "plan.yaml"}, plan(), result(), {&nowhere}).size(), 1u);
  fs::remove_all(directory);
  EXPECT_NE(xml.find(R"(errors="1" failures="1" skipped="1" tests="4")"), std::string::npos) << xml.substr(0, 500);
  EXPECT_NE(xml.find(R"(<failure message="exited 1, expected 0">$ jq &lt;in)"), std::string::npos) << xml.substr(0, 1500);
  EXPECT_NE(xml.find(R"(<error message="timed out">)"), std::string::npos);
  EXPECT_NE(xml.find(R"(<testsuites name="casemate plan"><testsuite name="jq")"), std::string::npos) << xml.substr(0, 200);
  EXPECT_NE(xml.find("<system-out>said#x1B[31m\xef\xbf\xbd</system-out><system-err>(34464 bytes before)"), std::string::npos);
  EXPECT_EQ(xml.find('\x1b'), std::string::npos);
  EXPECT_NE(page.find("plan.yaml"), std::string::npos);
}

}  // namespace
}  // namespace casemate
