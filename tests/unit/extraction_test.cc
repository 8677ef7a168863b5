#include "testplan/extraction.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

std::string value(const std::string& pattern, std::string_view output) {
  const auto found = extract({.variable = "V", .pattern = pattern}, output);
  return found ? *found : "error: " + found.error().what;
}

TEST(Extraction, the_first_group_or_the_whole_match_or_all) {
  EXPECT_EQ(value("id=(\\d+)", "a\nid=42;"), "42");
  EXPECT_EQ(value("\\d+", "id=42;"), "42");
  EXPECT_EQ(value("", "all of it\n"), "all of it");
  EXPECT_EQ(value("", "two\r\n"), "two");
  EXPECT_EQ(value("", ""), "");
  EXPECT_EQ(value("a=(\\d+)|b=(\\d+)", "b=2"), "2");
  EXPECT_EQ(value("version (\\S+)$", "version 1.2\n"), "1.2");
  EXPECT_EQ(value("(?m)^b=(.*)$", "a=1\nb=2\nc=3\n"), "2");
}

TEST(Extraction, says_what_is_wrong) {
  EXPECT_EQ(extract({.variable = "V", .pattern = "x"}, "abc").error().code, ErrorCode::not_found);
  EXPECT_EQ(value("x", "abc"), "error: no value for V: 'x' is nowhere in the output");
  EXPECT_EQ(extract({.variable = "V", .pattern = "("}, "abc").error().code, ErrorCode::invalid_input);
  EXPECT_NE(value("(?=a)", "abc").find("no look-around"), std::string::npos);
  EXPECT_EQ(value("", std::string(65'537, 'x')), "error: the value for V has more than 64 KiB");
  EXPECT_EQ(value("", std::string_view("a\0b", 3)), "error: the value for V has a NUL in it, which no environment holds");
}

TEST(Extraction, any_bytes_are_taken) {
  EXPECT_EQ(value("(b.)",
                  "a\xff"
                  "b\xfe"),
            "b\xef\xbf\xbd");
  EXPECT_EQ(value("", "\xff"), "\xff");
}

TEST(Values, are_put_in_place_of_their_names) {
  const PlanValues values = {{"A", "one"}, {"B", "it's $HOME; {{A}}"}, {"EMPTY", ""}};
  EXPECT_EQ(with_values("x {{A}} {{ A }} {{C}} {{A", values), "x one one {{C}} {{A");
  EXPECT_EQ(with_values("{{{A}}} {{}} }}", values), "{one} {{}} }}");
  EXPECT_EQ(with_values("{{B}}", values), "it's $HOME; {{A}}");  // values are not looked through again
  EXPECT_EQ(with_values("", values), "");
  EXPECT_EQ(with_values("{{A}}", {}), "{{A}}");
}

}  // namespace
}  // namespace casemate
