#include "testplan/comparison.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testplan/line_edits.h"

namespace casemate {
namespace {

std::string exactly(std::string_view recorded, std::string_view now) {
  const Difference difference = compare(recorded, now, CompareMode::exact);
  EXPECT_EQ(difference.same, recorded == now);
  return difference.text;
}

std::string as_json(std::string_view recorded, std::string_view now) { return compare(recorded, now, CompareMode::json).text; }

std::string lines(int from, int to) {
  std::string text;
  for (int line = from; line <= to; ++line) text += fmt::format("{}\n", line);
  return text;
}

TEST(Comparison, the_same_says_nothing) {
  for (const CompareMode mode : {CompareMode::exact, CompareMode::contains, CompareMode::json}) {
    EXPECT_TRUE(compare("[1]\n", "[1]\n", mode).same);
    EXPECT_EQ(compare("[1]\n", "[1]\n", mode).text, "");
  }
}

TEST(Comparison, exact_shows_what_diff_u_shows) {
  EXPECT_EQ(exactly("a\nb\nc\n", "a\nX\nc\n"), "--- recorded\n+++ now\n@@ -1,3 +1,3 @@\n a\n-b\n+X\n c\n");
  EXPECT_EQ(exactly("", "a\n"), "--- recorded\n+++ now\n@@ -0,0 +1 @@\n+a\n");
  EXPECT_EQ(exactly("a\n", ""), "--- recorded\n+++ now\n@@ -1 +0,0 @@\n-a\n");
  EXPECT_EQ(exactly("a\n", "a"), "--- recorded\n+++ now\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
  EXPECT_EQ(exactly(lines(1, 20), lines(1, 4) + lines(6, 20) + "21\n"),
            "--- recorded\n+++ now\n@@ -2,7 +2,6 @@\n 2\n 3\n 4\n-5\n 6\n 7\n 8\n@@ -18,3 +17,4 @@\n 18\n 19\n 20\n+21\n");
  // Nearer than six lines: one hunk.
  EXPECT_EQ(exactly(lines(1, 8), lines(2, 7)), "--- recorded\n+++ now\n@@ -1,8 +1,6 @@\n-1\n 2\n 3\n 4\n 5\n 6\n 7\n-8\n");
}

TEST(Comparison, is_safe_and_bounded) {
  const std::string hostile = exactly("a\n", "\x1b]0;evil\x07\xff\n");
  EXPECT_EQ(hostile.find_first_of("\x1b\x07\xff"), std::string::npos);
  const std::string many = exactly(lines(1, 100'000), lines(200'000, 300'000));
  EXPECT_EQ(std::count(many.begin(), many.end(), '\n'), 201);
  EXPECT_NE(many.find("\n... and "), std::string::npos);
  const std::string wide = exactly(std::string(1 << 20, 'x') + "A\n", std::string(1 << 20, 'x') + "B\n");
  EXPECT_LT(wide.size(), 1500u);
  EXPECT_NE(wide.find("xA..."), std::string::npos) << wide;  // where they differ is shown
}

TEST(Comparison, contains_wants_the_lines_in_their_order) {
  EXPECT_TRUE(compare("b\n\nd\n", "a\nb\nc\nd\ne\n", CompareMode::contains).same);
  const Difference missing = compare("b\nx\n", "a\nb\n", CompareMode::contains);
  EXPECT_FALSE(missing.same);
  EXPECT_EQ(missing.text, "lines of the recording that are missing:\n-x\n");
  EXPECT_EQ(compare("b\na\n", "a\nb\n", CompareMode::contains).text,
            "lines of the recording that are missing:\n(there, but before line 2:)\n-a\n");
  EXPECT_FALSE(compare("a\na\n", "a\n", CompareMode::contains).same);
  EXPECT_TRUE(compare("", "a\n", CompareMode::contains).same);
}

TEST(Comparison, json_compares_values) {
  EXPECT_EQ(as_json(R"({"a":1,"b":[1,2]})", "{ \"b\": [1, 2.0],\n \"a\": 1}"), "");
  EXPECT_EQ(as_json(R"({"items":[{"n":"a"}],"gone":null})", R"({"items":[{"n":"b"},3],"a b":{"x":1}})"),
            "$.gone: null is gone\n$.items[0].n: \"a\" became \"b\"\n$.items[1]: 3 is new\n$[\"a b\"]: an object of 1 members is new\n");
  EXPECT_EQ(as_json("[1]", "{}"), "$: a list of 1 became an object of 0 members\n");
  // A long name is cut, and no place is written for what is the same.
  const std::string name(4 << 20, 'a');
  std::string many = "[0";
  for (int i = 0; i < 100'000; ++i) many += ",0";
  const auto under_name = [&](const std::string& list) { return fmt::format(R"({{"{}":{}}})", name, list); };
  EXPECT_EQ(as_json(under_name(many + "]"), under_name(many + ",1]")), fmt::format("$[\"{}...][100001]: 1 is new\n", name.substr(0, 299)));
}

TEST(Comparison, what_is_no_json_is_compared_exactly) {
  EXPECT_EQ(as_json("{", "{"), "both are no JSON: compared exactly\n");
  EXPECT_TRUE(compare("{", "{", CompareMode::json).same);
  EXPECT_TRUE(as_json("{}", "{").starts_with("the output is no JSON: compared exactly\n--- recorded\n"));
  EXPECT_TRUE(as_json("\xff", "{}").starts_with("the recording is no JSON: compared exactly\n"));
  const std::string deep(100'000, '[');
  EXPECT_TRUE(compare(deep, deep, CompareMode::json).same);
}

// The edits turn one into the other, and there are no fewer than a table of all pairs says.
TEST(LineEdits, are_right_and_the_fewest) {
  std::uint32_t state = 1;
  const auto random = [&](std::uint32_t below) {
    return (state = state * 1664525 + 1013904223) >> 16 & 0x7fff ? (state >> 16) % below : 0;
  };
  const std::vector<std::string_view> letters = {"a", "b", "c"};
  for (int time = 0; time < 3000; ++time) {
    std::vector<std::string_view> before(random(12)), after(random(12));
    for (auto& line : before) line = letters[random(3)];
    for (auto& line : after) line = letters[random(3)];
    std::vector<std::string_view> made;
    std::size_t at = 0, changes = 0;
    for (const LineEdit& edit : line_edits(before, after)) {
      while (at < edit.before) made.push_back(before[at++]);
      ASSERT_EQ(made.size(), edit.after);
      for (std::size_t line = 0; line < edit.added; ++line) made.push_back(after[edit.after + line]);
      at += edit.removed;
      changes += edit.removed + edit.added;
    }
    while (at < before.size()) made.push_back(before[at++]);
    ASSERT_EQ(made, after);
    std::vector<std::vector<std::size_t>> table(before.size() + 1, std::vector<std::size_t>(after.size() + 1));
    for (std::size_t x = 0; x <= before.size(); ++x) {
      for (std::size_t y = 0; y <= after.size(); ++y) {
        table[x][y] = x == 0 || y == 0                ? x + y
                      : before[x - 1] == after[y - 1] ? table[x - 1][y - 1]
                                                      : 1 + std::min(table[x - 1][y], table[x][y - 1]);
      }
    }
    ASSERT_EQ(changes, table[before.size()][after.size()]);
  }
}

TEST(LineEdits, much_that_is_different_is_one_edit) {
  std::vector<std::string> texts;
  for (int line = 0; line < 20'000; ++line) texts.push_back(std::to_string(line));
  std::vector<std::string_view> before(texts.begin(), texts.begin() + 10'000), after(texts.begin() + 10'000, texts.end());
  before.insert(before.begin(), "same");
  after.insert(after.begin(), "same");
  EXPECT_EQ(line_edits(before, after), (std::vector<LineEdit>{{1, 10'000, 1, 10'000}}));
}

}  // namespace
}  // namespace casemate
