#include "session/queue.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Tests = std::vector<SelectedTest>;

SelectedTest of(const std::string& file, const std::string& name, Isolation isolation = Isolation::test) {
  SelectedTest made{.test = {.id = file + "::" + name, .file = file, .name = name}, .isolation = isolation};
  made.parent = file;
  return made;
}

TEST(PytestQueue, a_unit_says_how_many_of_its_parent_follow) {
  const auto units = make_units(Tests{of("a", "1"), of("a", "2"), of("a", "3"), of("b", "1"), of("a", "4"), of("c", "1"), of("c", "2")});
  std::vector<std::size_t> alike;
  for (const Unit& unit : units) alike.push_back(unit.alike);
  EXPECT_EQ(alike, (std::vector<std::size_t>{3, 2, 1, 1, 1, 2, 1}));
  EXPECT_TRUE(make_units({}).empty());
}

TEST(PytestQueue, how_many_follow_is_counted_anew_for_what_is_left) {
  const Tests tests{of("a", "1"), of("a", "2"), of("b", "1"), of("a", "3")};
  auto units = make_units(tests);
  units.erase(units.begin() + 2);
  count_alike(units, tests);
  EXPECT_EQ(units[0].alike, 3u);
  units.clear();
  count_alike(units, tests);
}

TEST(PytestQueue, what_is_ignored_is_in_no_unit) {
  Tests tests{of("a", "1"), of("b", "1"), of("a", "2"), of("a", "3")};
  tests[1].ignored = tests[3].ignored = true;
  const auto units = make_units(tests);
  ASSERT_EQ(units.size(), 2u);
  EXPECT_EQ(units[0].tests, std::vector<std::size_t>{0});
  EXPECT_EQ(units[1].tests, std::vector<std::size_t>{2});
  EXPECT_EQ(units[0].alike, 2u);
}

TEST(PytestQueue, tests_of_a_module_share_a_unit_but_not_with_another_container) {
  Tests tests{of("a", "1", Isolation::module), of("a", "2"), of("a", "3", Isolation::module), of("a", "4", Isolation::module)};
  tests[3].container = 1;
  const auto units = make_units(tests);
  ASSERT_EQ(units.size(), 3u);
  EXPECT_EQ(units[0].tests, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(units[1].tests, std::vector<std::size_t>{1});
  EXPECT_EQ(units[2].tests, std::vector<std::size_t>{3});
}

TEST(PytestQueue, in_a_cell_that_is_shared_tests_keep_pytests_order) {
  Tests tests{of("a", "failed", Isolation::module), of("a", "1", Isolation::module), of("a", "2", Isolation::module)};
  tests[0].place = 2;
  tests[1].place = 0;
  tests[2].place = 1;
  const auto units = make_units(tests);
  ASSERT_EQ(units.size(), 1u);
  EXPECT_EQ(units[0].tests, (std::vector<std::size_t>{1, 2, 0}));
}

TEST(PytestQueue, what_failed_or_is_new_comes_first_then_what_takes_long) {
  using namespace std::chrono_literals;
  Tests tests{of("a", "short"), of("a", "long"), of("a", "longest"), of("a", "new"), of("a", "failed")};
  for (SelectedTest& test : tests) test.known = test.test.name != "new";
  tests[1].mean = 1s;
  tests[2].mean = 2s;
  tests[4].failed = true;
  const auto names = [](const Tests& all) {
    std::string text;
    for (const SelectedTest& one : all) text += one.test.name + " ";
    return text;
  };
  put_in_order(tests, true);
  EXPECT_EQ(names(tests), "new failed longest long short ");
  Tests unknown{of("a", "2"), of("a", "1")};
  put_in_order(unknown, false);
  EXPECT_EQ(names(unknown), "2 1 ");
}

}  // namespace
}  // namespace casemate
