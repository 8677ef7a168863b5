#include "testplan/plan_order.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testplan/plan_run.h"

namespace casemate {
namespace {

using std::chrono::microseconds;
using Groups = std::vector<std::vector<std::size_t>>;
using Order = std::vector<std::size_t>;

PlanCase one(const std::string& id, const std::string& command = "true", std::vector<std::string> needs = {}) {
  PlanCase made;
  made.id = id;
  made.name = "the case " + id;
  PlanStep step;
  step.id = id + ".command_line";
  step.command = command;
  made.steps.push_back(step);
  made.main = 0;
  for (const std::string& need : needs) made.depends_on.push_back({.id = need});
  return made;
}

TestPlan plan_of(std::vector<PlanCase> cases) {
  TestPlan plan;
  plan.cases = std::move(cases);
  return plan;
}

Order order_of(const TestPlan& plan) { return case_order(plan, std::vector<bool>(plan.cases.size(), true)); }

Extraction value(const std::string& variable, const std::string& of = "") { return {variable, "", of}; }

TEST(PlanOrder, cases_run_as_they_stand) { EXPECT_EQ(order_of(plan_of({one("a"), one("b"), one("c")})), (Order{0, 1, 2})); }

TEST(PlanOrder, a_number_comes_first_and_a_need_before_it) {
  TestPlan plan = plan_of({one("a"), one("b", "true", {"d"}), one("c"), one("d")});
  plan.cases[2].execution_order = 2;
  plan.cases[1].execution_order = 1;
  EXPECT_EQ(order_of(plan), (Order{2, 0, 3, 1}));
}

TEST(PlanOrder, steps_and_values_are_needs_of_their_cases) {
  TestPlan plan = plan_of({one("a"), one("b"), one("c")});
  plan.cases[0].steps[0].depends_on.push_back({.id = "c.command_line"});
  plan.cases[0].steps[0].depends_on.push_back({.id = "a.command_line"});
  plan.cases[2].steps[0].extractions.push_back(value("X", "b"));
  EXPECT_EQ(case_needs(plan), (Groups{{2}, {}, {1}}));
  EXPECT_EQ(order_of(plan), (Order{1, 2, 0}));
}

TEST(PlanOrder, a_circle_comes_last_and_ends) {
  EXPECT_EQ(order_of(plan_of({one("a", "", {"b"}), one("b", "", {"a"}), one("c"), one("d", "", {"a"})})), (Order{2, 0, 1, 3}));
}

TEST(PlanOrder, only_wanted_cases_are_there) {
  EXPECT_EQ(case_order(plan_of({one("a"), one("b", "", {"a"}), one("c")}), {false, true, true}), (Order{1, 2}));
}

TEST(PlanGroups, cases_that_need_each_other_stay_together) {
  const TestPlan plan = plan_of({one("a"), one("b"), one("c", "", {"a"}), one("d", "", {"c"})});
  EXPECT_EQ(case_groups(plan, order_of(plan), {}), (Groups{{0, 2, 3}, {1}}));
}

TEST(PlanGroups, who_names_a_variable_stays_with_who_takes_it) {
  TestPlan plan = plan_of({one("a"), one("b", "echo {{ TOKEN }}"), one("c", "echo \"${TOKEN}\""), one("d", "echo $TOKENS"), one("e")});
  plan.cases[0].steps[0].extractions.push_back(value("TOKEN"));
  plan.cases[4].steps[0].environment["X"] = "-$TOKEN-";
  EXPECT_EQ(case_groups(plan, order_of(plan), {}), (Groups{{0, 1, 2, 4}, {3}}));
}

TEST(PlanGroups, the_longest_come_first_where_times_are_known) {
  const TestPlan plan = plan_of({one("a"), one("b"), one("c", "", {"a"}), one("d"), one("new")});
  const std::map<std::string, microseconds> times = {
      {"a", microseconds(10)}, {"b", microseconds(25)}, {"c", microseconds(20)}, {"d", microseconds(5)}};
  EXPECT_EQ(case_groups(plan, order_of(plan), times), (Groups{{0, 2}, {1}, {4}, {3}}));
}

TEST(PlanGroups, a_long_plan_takes_no_long_time) {
  std::vector<PlanCase> cases;
  for (int i = 0; i < 20'000; ++i) {
    cases.push_back(one(std::to_string(i)));
    if (i > 0) cases.back().depends_on.push_back({.id = std::to_string(i - 1)});
  }
  const TestPlan plan = plan_of(std::move(cases));
  EXPECT_EQ(case_groups(plan, order_of(plan), {}).size(), 1u);
}

class PlanSelectionTest : public testing::Test {
 protected:
  PlanSelectionTest() {
    plan_ = plan_of({one("a", "jq --help"), one("b", "jq .x", {"a"}), one("c", "jq -r ."), one("d", "true", {"b"})});
    plan_.cases[1].tags = {"smoke", "fast"};
    plan_.cases[2].tags = {"slow"};
  }
  std::string selected(const PlanSelection& selection) {
    const auto flags = select_cases(plan_, selection);
    if (!flags) return flags.error().what;
    std::string ids;
    for (std::size_t i = 0; i < flags->size(); ++i)
      if ((*flags)[i]) ids += plan_.cases[i].id;
    return ids;
  }
  TestPlan plan_;
};

TEST_F(PlanSelectionTest, everything_unless_something_is_asked_for) { EXPECT_EQ(selected({}), "abcd"); }

TEST_F(PlanSelectionTest, what_they_need_comes_along) {
  EXPECT_EQ(selected({.ids = {"d"}}), "abd");
  EXPECT_EQ(selected({.ids = {"the case c", "a"}}), "ac");
  EXPECT_EQ(selected({.tags = {"smoke"}}), "ab");
  EXPECT_EQ(selected({.tags = {"smoke", "slow"}, .not_tags = {"fast"}}), "c");
  EXPECT_EQ(selected({.not_tags = {"fast"}}), "abcd") << "d needs b";
  EXPECT_EQ(selected({.match = "-r|help"}), "ac");
  EXPECT_EQ(selected({.match = "^nothing$"}), "");
}

TEST_F(PlanSelectionTest, what_no_case_has_is_told_with_what_is_near) {
  EXPECT_EQ(selected({.tags = {"smokey"}}), "no case has the tag 'smokey', did you mean 'smoke'?");
  EXPECT_EQ(selected({.not_tags = {"sloww"}}), "abcd");
  EXPECT_EQ(selected({.ids = {"nobody"}}), "no case has the id or name 'nobody'; known are a, b, c, d");
  EXPECT_EQ(selected({.ids = {"the case x\x1b"}}), "no case has the id or name 'the case x\\x1b', did you mean 'the case a'?");
  EXPECT_NE(selected({.match = "("}).find("'(' is no pattern"), std::string::npos) << selected({.match = "("});
}

TEST(CaseDirectory, any_id_is_one_plain_name) {
  const TestPlan plan = plan_of({one("../../etc"), one(std::string(300, 'x')), one("a b/\n\xff")});
  EXPECT_EQ(case_directory(plan, 0), "001-.._.._etc");
  EXPECT_EQ(case_directory(plan, 1), "002-" + std::string(100, 'x'));
  EXPECT_EQ(case_directory(plan, 2), "003-a_b___");
}

}  // namespace
}  // namespace casemate
