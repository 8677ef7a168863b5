#include "session/filter.h"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "session/filter_words.h"

namespace casemate {
namespace {

const TestCase kTest{.id = "tests/unit/test_a.py::TestB::test_c[1-x/y]",
                     .file = "tests/unit/test_a.py",
                     .group = "TestB",
                     .name = "test_c[1-x/y]",
                     .markers = {"slow", "parametrize"}};

bool takes(std::string_view expression, const TestCase& test = kTest) {
  const auto filter = TestFilter::parse(expression);
  EXPECT_TRUE(filter) << expression << ": " << filter.error().what;
  return filter && filter->takes(test);
}

std::string problem(std::string_view expression) {
  const auto filter = TestFilter::parse(expression);
  if (filter) return "it worked";
  EXPECT_EQ(filter.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(filter.error().what.find('\n'), std::string::npos);
  return filter.error().what;
}

TEST(Filter, names_that_stand_alone_and_their_abbreviations) {
  for (const char* all : {"all", "any", "true", "all()", "any()", "true()", "al", "an", "tr", "t", "a", "  all  "})
    EXPECT_TRUE(takes(all)) << all;
  for (const char* none : {"none", "false", "none()", "false()", "no", "n", "f", "fal"}) EXPECT_FALSE(takes(none)) << none;
}

TEST(Filter, selectors_look_at_their_part_of_a_test) {
  EXPECT_TRUE(takes("file.equals(tests/unit/test_a.py)"));
  EXPECT_TRUE(takes("name.equals(test_c[1-x/y])"));
  EXPECT_TRUE(takes("node_id.equals<tests/unit/test_a.py::TestB::test_c[1-x/y]>"));
  EXPECT_TRUE(takes("package.equals(default)"));
  EXPECT_FALSE(takes("package.equals(other)"));
  EXPECT_FALSE(takes("name.equals(test_a.py)"));
}

TEST(Filter, operators) {
  EXPECT_TRUE(takes("file.contains(unit)"));
  EXPECT_FALSE(takes("file.contains(TestB)"));
  EXPECT_TRUE(takes("file.starts_with(tests/)"));
  EXPECT_FALSE(takes("file.starts_with(unit)"));
  EXPECT_TRUE(takes("file.ends_with(_a.py)"));
  EXPECT_TRUE(takes("node_id.matches(::Test[A-C]::)"));
  EXPECT_FALSE(takes("node_id.matches(^Test)"));
  EXPECT_TRUE(takes("name.equals()", TestCase{}));
}

TEST(Filter, every_prefix_that_only_one_word_has_is_that_word) {
  for (const std::string word : {"file", "name", "node_id", "package"}) {
    for (std::size_t length = 1; length <= word.size(); ++length) {
      const std::string expression = word.substr(0, length) + ".matches(.)";
      EXPECT_TRUE(TestFilter::parse(expression)) << expression;
    }
  }
  const TestCase test{.id = "node", .file = "file", .name = "name", .markers = {"marker"}};
  EXPECT_TRUE(takes("f.eq(file)", test));
  EXPECT_TRUE(takes("n.eq(name)", test)) << "as the book's examples have it";
  EXPECT_TRUE(takes("no.eq(node)", test));
  EXPECT_TRUE(takes("p.eq(default)", test));
  EXPECT_TRUE(takes("m.c(marker)", test));
  EXPECT_TRUE(takes("n.c(am) && n.s(na) && n.en(me) && n.m(^n.+e$) && n.g(n*e)", test));
  EXPECT_EQ(problem("name.e(x)"), "column 6: 'e' could be equals or ends_with");
}

TEST(Filter, a_methods_name_may_have_its_class) {
  EXPECT_TRUE(takes("name.equals(TestB.test_c[1-x/y])")) << "maelstrom-pytest's name of it";
  EXPECT_TRUE(takes("name.starts_with(TestB)"));
  EXPECT_FALSE(takes("name.equals(TestB)"));
  EXPECT_FALSE(takes("name.equals(TestB::test_c[1-x/y])"));
  const TestCase inner{.group = "TestB::TestIn", .name = "test[a::b]"};
  EXPECT_TRUE(takes("name.equals(TestB.TestIn.test[a::b])", inner));
}

TEST(Filter, markers_are_whole_names) {
  EXPECT_TRUE(takes("markers.contains(slow)"));
  EXPECT_FALSE(takes("markers.contains(slo)"));
  EXPECT_TRUE(takes("markers.c/slow/ && !markers.contains(fast)"));
  EXPECT_FALSE(takes("markers.contains(slow)", TestCase{}));
  EXPECT_EQ(problem("markers.equals(slow)"), "column 9: markers has only the operator contains");
}

TEST(Filter, parameters_may_hold_their_own_brackets_in_pairs) {
  const auto is = [](std::string_view expression, const std::string& name) { return takes(expression, TestCase{.name = name}); };
  EXPECT_TRUE(is("name.equals((hello))", "(hello)"));
  EXPECT_TRUE(is("name.equals((a)(b))", "(a)(b)"));
  EXPECT_TRUE(is("name.equals(he[llo)", "he[llo"));
  EXPECT_TRUE(is("name.equals[(hello]", "(hello"));
  EXPECT_TRUE(is("name.equals{a{b}c}", "a{b}c"));
  EXPECT_TRUE(is("name.equals<a<b>>", "a<b>"));
  EXPECT_TRUE(is("name.equals/a)b/", "a)b"));
  EXPECT_TRUE(is("name.equals( a )", " a "));
  EXPECT_TRUE(is("name.equals(\xc3\xa9\n)", "\xc3\xa9\n"));
  EXPECT_EQ(problem("name.equals(((a))"), "column 12: this '(' is not closed");
  EXPECT_EQ(problem("name.equals[1)"), "column 12: this '[' is not closed");
}

TEST(Filter, operators_bind_as_the_book_says) {
  EXPECT_FALSE(takes("all - all - all")) << "(all - all) - all is none; all - (all - all) would be all";
  EXPECT_TRUE(takes("all - none - none"));
  EXPECT_FALSE(takes("all minus all minus all"));
  EXPECT_TRUE(takes("all - all || all"));
  EXPECT_FALSE(takes("all && all - all"));
  EXPECT_FALSE(takes("all - none && none"));
  EXPECT_TRUE(takes("all || any && none"));
  EXPECT_TRUE(takes("none && none || all"));
  EXPECT_FALSE(takes("(all || all) && none"));
  EXPECT_FALSE(takes("!all || none"));
  EXPECT_TRUE(takes("!(all && none)"));
  EXPECT_TRUE(takes("!!all && not not all && ~none"));
  EXPECT_TRUE(takes("all - !all"));
  EXPECT_FALSE(takes("not (none or all)"));
  EXPECT_TRUE(takes("not(none)and(all)"));
  EXPECT_TRUE(takes("all+all&all|none"));
  EXPECT_FALSE(takes("all\\all"));
  EXPECT_TRUE(takes("\tall\n&&\nany "));
}

TEST(Filter, a_parameter_that_looks_like_an_expression_is_none) {
  EXPECT_TRUE(takes("name.contains(&& none)", TestCase{.name = "a && none"}));
  EXPECT_TRUE(takes("name.equals(minus)", TestCase{.name = "minus"}));
}

TEST(Filter, globs_take_the_whole_text_and_stars_take_slashes) {
  const auto is = [](const std::string& glob, const std::string& file) {
    return takes("file.globs(" + glob + ")", TestCase{.file = file});
  };
  EXPECT_TRUE(is("*.py", "a.py"));
  EXPECT_TRUE(is("*.py", "a/b.py"));
  EXPECT_FALSE(is("*.py", "a.pyc"));
  EXPECT_TRUE(is("**/b.py", "b.py"));
  EXPECT_TRUE(is("**/b.py", "a/x/b.py"));
  EXPECT_FALSE(is("**/b.py", "ab.py"));
  EXPECT_TRUE(is("a/**/b.py", "a/b.py"));
  EXPECT_TRUE(is("a/**", "a/b/c"));
  EXPECT_FALSE(is("a/**", "a/"));
  EXPECT_TRUE(is("**", "a/b"));
  EXPECT_TRUE(is("test_?.{py,pyi}", "test_a.pyi"));
  EXPECT_FALSE(is("test_?.{py,pyi}", "test_ab.py"));
  EXPECT_TRUE(is("[a-c][!x]", "by"));
  EXPECT_FALSE(is("[a-c][!x]", "bx"));
  EXPECT_TRUE(is("[]]", "]"));
  EXPECT_TRUE(is("[-x]", "-"));
  EXPECT_TRUE(is("a\\*b", "a*b"));
  EXPECT_FALSE(is("a\\*b", "axb"));
  EXPECT_TRUE(is("a.b+c^$|,", "a.b+c^$|,"));
  EXPECT_TRUE(is("?", "\xc3\xa9"));
  EXPECT_TRUE(is("a*b", "a\nb"));
  EXPECT_TRUE(takes("name.globs{*[[]1*}")) << "a bracket as a member of a class";
}

TEST(Filter, errors_say_where_and_what_was_meant) {
  EXPECT_EQ(problem(""), "column 1: an expression is missing: all, file.equals(...), markers.contains(...)");
  EXPECT_EQ(problem("all && "), "column 8: an expression is missing: all, file.equals(...), markers.contains(...)");
  EXPECT_EQ(problem("fiel.equals(a)"), "column 1: there is no selector 'fiel', did you mean 'file'?");
  EXPECT_EQ(problem("all && file.equal_s(a)"), "column 13: there is no operator 'equal_s', did you mean 'equals'?");
  EXPECT_EQ(problem("nome"), "column 1: there is no selector 'nome', did you mean 'none'?");
  EXPECT_EQ(problem("file"), "column 1: 'file' wants an operator: file.equals(...)");
  EXPECT_EQ(problem("markers()"), "column 1: 'markers' wants an operator: markers.contains(...)");
  EXPECT_EQ(problem("all.equals(x)"), "column 1: 'all' has no operators: it stands alone");
  EXPECT_EQ(problem("file.(a)"), "column 6: expected an operator: equals, contains ...");
  EXPECT_EQ(problem("file.equals"), "column 12: expected (...) after equals, or [...], {...}, <...>, /.../");
  EXPECT_EQ(problem("(all || none"), "column 1: this '(' is not closed");
  EXPECT_EQ(problem("all)"), "column 4: this ')' closes nothing");
  EXPECT_EQ(problem("all adn none"), "column 5: expected and, or, minus or the end, found 'adn', did you mean 'and'?");
  EXPECT_EQ(problem("all none"), "column 5: expected and, or, minus or the end, found 'none'");
  EXPECT_EQ(problem("name.equals(\xc3\xa9) \xe2\x82\xac"), "column 16: expected and, or, minus or the end, found '\xe2\x82\xac'");
  EXPECT_EQ(problem("&& all"), "column 1: expected a selector (file, name, node_id, markers, all ...), found '&'");
  EXPECT_EQ(problem("\x1b[31m"), "column 1: expected a selector (file, name, node_id, markers, all ...), found '\\x1b'");
  EXPECT_EQ(problem("name.matches(*)"), "column 13: '*' is no regular expression: no argument for repetition operator: *");
  EXPECT_EQ(problem("name.globs([a)"), "column 11: this glob has a '[' that is not closed");
  EXPECT_EQ(problem("name.globs({a)"), "column 11: this glob has a '{' that is not closed");
}

TEST(Filter, hostile_expressions_are_bounded) {
  EXPECT_EQ(problem(std::string(70'000, '(')), "column 1: longer than 64 KiB");
  EXPECT_EQ(problem(std::string(60'000, '(')), "column 101: more than 100 parentheses in each other");
  EXPECT_TRUE(takes(std::string(60'000, '!') + "all"));
  EXPECT_FALSE(takes(std::string(60'001, '!') + "all"));
  std::string chain = "none";
  while (chain.size() < 60'000) chain += "|none";
  EXPECT_FALSE(takes(chain));
  std::string patterns = "name.m(a)";
  for (int i = 0; i < 1000; ++i) patterns += "|name.m(a)";
  EXPECT_NE(problem(patterns).find("more than 1000 patterns"), std::string::npos);
  EXPECT_NE(problem("name.matches(((((a{1000}){1000}){1000})))").find("is no regular expression"), std::string::npos);
  EXPECT_FALSE(takes("name.matches(^(a+)+$)", TestCase{.name = std::string(100'000, 'a') + "b"})) << "in linear time";
}

}  // namespace
}  // namespace casemate
