#include "testplan/checks.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Kind = Outcome::Kind;

StepResult ended(Kind kind, int code, std::string out = "", std::string err = "") {
  StepResult result;
  result.outcome = Outcome{kind, code, "", ""};
  result.out = std::move(out);
  result.err = std::move(err);
  return result;
}

StepResult judged(const Expectations& expected, StepResult result, const std::vector<bool>& present = {}) {
  const PlanStep step{.id = "s", .command = "x", .expected = expected};
  judge(step, result, present);
  return result;
}

TEST(PlanChecks, words_of_states_and_back) {
  for (const PlanStatus status : {PlanStatus::not_run, PlanStatus::passed, PlanStatus::failed, PlanStatus::error, PlanStatus::skipped})
    EXPECT_EQ(plan_status(word(status)), status);
  EXPECT_EQ(word(PlanStatus::not_run), "not_run");
  EXPECT_FALSE(plan_status("Passed"));
}

TEST(PlanChecks, exit_codes) {
  EXPECT_EQ(judged({.exit_code = 0}, ended(Kind::exited, 0)).status, PlanStatus::passed);
  const StepResult wrong = judged({.exit_code = 0}, ended(Kind::exited, 2, "", "usage: x\nx: no such option\n\n"));
  EXPECT_EQ(wrong.status, PlanStatus::failed);
  EXPECT_EQ(wrong.reason, "exited 2, expected 0; stderr ends: 'x: no such option'");
  EXPECT_EQ(judged({.exit_code = 3}, ended(Kind::exited, 3)).status, PlanStatus::passed);
  EXPECT_EQ(judged({}, ended(Kind::exited, 77)).status, PlanStatus::passed);
  EXPECT_EQ(judged({.nonzero = true}, ended(Kind::exited, 77)).status, PlanStatus::passed);
  EXPECT_EQ(judged({.nonzero = true}, ended(Kind::exited, 0)).reason, "exited 0, expected anything but 0");
  EXPECT_EQ(judged({.exit_code = 139}, ended(Kind::signaled, 11)).status, PlanStatus::passed);
  EXPECT_EQ(judged({.exit_code = 0}, ended(Kind::signaled, 11)).reason, "signaled 11 (SIGSEGV), expected 0");
}

TEST(PlanChecks, what_could_not_be_told_is_an_error) {
  for (const Kind kind : {Kind::timed_out, Kind::out_of_memory, Kind::too_many_processes, Kind::output_limit, Kind::disk_limit,
                          Kind::setup_failed, Kind::cancelled, Kind::lost}) {
    const StepResult result = judged({.nonzero = true}, ended(kind, 0));
    EXPECT_EQ(result.status, PlanStatus::error);
    EXPECT_FALSE(result.reason.empty());
  }
  EXPECT_EQ(judged({}, {}).reason, "the command was not run");
}

TEST(PlanChecks, output_is_looked_through_without_case) {
  EXPECT_EQ(judged({.output = {"USAGE:", "b"}, .error = {"Warn"}}, ended(Kind::exited, 0, "Usage: B", "warning")).status,
            PlanStatus::passed);
  const StepResult lacks = judged({.output = {"one", "two"}, .error = {"three"}}, ended(Kind::exited, 0, "first\nlast\n", ""));
  EXPECT_EQ(lacks.status, PlanStatus::failed);
  EXPECT_EQ(lacks.reason, "stdout lacks 'one'; stdout lacks 'two'; it ends: 'last'; stderr lacks 'three': it is empty");
  EXPECT_TRUE(contains_ignoring_case("aXbYc", "xBy"));
  EXPECT_TRUE(contains_ignoring_case("", ""));
  EXPECT_FALSE(contains_ignoring_case("ab", "abc"));
  EXPECT_FALSE(contains_ignoring_case("\xc3\x89", "\xc3\xa9"));  // É and é: ASCII alone
  EXPECT_TRUE(contains_ignoring_case(std::string("a\0B", 3), std::string_view("\0b", 2)));
}

TEST(PlanChecks, reasons_are_one_safe_short_line) {
  const StepResult result = judged({.output = {"\x1b[31mred\n" + std::string(5000, 'x')}}, ended(Kind::exited, 0, "a\n\x1b]0;evil\x07"));
  EXPECT_EQ(result.reason.find_first_of("\n\x1b\x07"), std::string::npos);
  EXPECT_LT(result.reason.size(), 500u);
  const StepResult many = judged({.output = std::vector<std::string>(1000, "lacking")}, ended(Kind::exited, 0));
  EXPECT_LT(many.reason.size(), 2100u);
}

TEST(PlanChecks, files) {
  const Expectations expected{.files = {"/a", "b"}};
  EXPECT_EQ(judged(expected, ended(Kind::exited, 0), {true, true}).status, PlanStatus::passed);
  EXPECT_EQ(judged(expected, ended(Kind::exited, 0), {true, false}).reason, "there is no file 'b'");
  EXPECT_EQ(judged(expected, ended(Kind::exited, 0), {true}).status, PlanStatus::failed);
}

TEST(PlanChecks, what_is_in_files) {
  PlanStep step{.id = "s", .command = "x", .expected = {.files = {"a"}, .contents = {{"a", "YES"}, {"a", "no"}}}};
  StepResult result = ended(Kind::exited, 0);
  judge(step, result, {true}, {"oh yes", "oh yes"});
  EXPECT_EQ(result.reason, "the file 'a' lacks 'no'");
  judge(step, result, {true}, {"no", "yes"});
  EXPECT_EQ(result.reason, "the file 'a' lacks 'YES'; the file 'a' lacks 'no'");
}

TEST(PlanChecks, steps_without_a_command) {
  PlanStep step{.id = "s", .type = PlanStep::Type::assertion, .expected = {.output = {"a"}}};
  StepResult result = ended(Kind::exited, 1, "A");
  judge(step, result, {});
  EXPECT_EQ(result.status, PlanStatus::passed);
  result = {};
  judge(step, result, {});
  EXPECT_EQ(result.status, PlanStatus::error);
  step.expected = {};
  judge(step, result, {});
  EXPECT_EQ(result.status, PlanStatus::skipped);
}

TEST(PlanChecks, a_service_needs_no_outcome) {
  const PlanStep step{.id = "s", .command = "serve", .background = true};
  StepResult result;
  judge(step, result, {});
  EXPECT_EQ(result.status, PlanStatus::passed);
}

CaseResult case_of(const PlanCase& one, const std::vector<PlanStatus>& states) {
  CaseResult result;
  for (const PlanStatus status : states) result.steps.push_back({.status = status, .reason = status == PlanStatus::passed ? "" : "why"});
  judge(one, result);
  return result;
}

TEST(PlanChecks, a_case_is_what_its_first_bad_step_is) {
  using enum PlanStatus;
  const PlanCase one{.id = "c",
                     .steps = {{.id = "up", .type = PlanStep::Type::setup, .command = "x"},
                               {.id = "c.command_line", .command = "x", .pointer = "/c"},
                               {.id = "prose", .type = PlanStep::Type::assertion},
                               {.id = "look", .type = PlanStep::Type::verification, .command = "x"},
                               {.id = "down", .type = PlanStep::Type::teardown, .command = "x"}},
                     .main = 1,
                     .pointer = "/c"};
  EXPECT_EQ(case_of(one, {passed, passed, skipped, passed, passed}).status, passed);
  EXPECT_EQ(case_of(one, {failed, skipped, skipped, skipped, passed}).status, error);
  EXPECT_EQ(case_of(one, {failed, skipped, skipped, skipped, passed}).reason, "setup 'up': why");
  EXPECT_EQ(case_of(one, {passed, failed, skipped, skipped, passed}).status, failed);
  EXPECT_EQ(case_of(one, {passed, failed, skipped, skipped, failed}).reason, "why");
  EXPECT_EQ(case_of(one, {passed, passed, skipped, error, passed}).reason, "step 'look': why");
  EXPECT_EQ(case_of(one, {passed, passed, skipped, passed, failed}).status, error);
  EXPECT_EQ(case_of(one, {passed, passed, skipped, passed, failed}).reason, "teardown 'down': why");
  EXPECT_EQ(case_of(one, {passed}).status, not_run);
}

TEST(PlanChecks, totals_count_every_state) {
  using enum PlanStatus;
  PlanResult result;
  for (const PlanStatus status : {passed, passed, failed, error, skipped, skipped, skipped, not_run})
    result.cases.push_back({.status = status});
  const PlanTotals sum = totals(result);
  EXPECT_EQ(sum.total, 8u);
  EXPECT_EQ(sum.passed, 2u);
  EXPECT_EQ(sum.failed, 1u);
  EXPECT_EQ(sum.error, 1u);
  EXPECT_EQ(sum.skipped, 3u);
  EXPECT_EQ(sum.not_run, 1u);
}

}  // namespace
}  // namespace casemate
