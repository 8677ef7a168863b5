#include "base/shell_words.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Words = std::vector<std::string>;

TEST(ShellWords, splits_at_blanks_and_newlines) {
  EXPECT_EQ(split_shell_words("--input-file data.csv\t--mode\nfast").value(), (Words{"--input-file", "data.csv", "--mode", "fast"}));
  EXPECT_EQ(split_shell_words("").value(), Words{});
  EXPECT_EQ(split_shell_words("  \n ").value(), Words{});
}

TEST(ShellWords, single_quotes_keep_everything) {
  EXPECT_EQ(split_shell_words(R"('a b' 'c\n"$x')").value(), (Words{"a b", "c\\n\"$x"}));
  EXPECT_EQ(split_shell_words("''").value(), Words{""});
}

TEST(ShellWords, double_quotes_unescape_only_what_the_shell_does) {
  EXPECT_EQ(split_shell_words(R"("a \"b\" \\ \$x \`y \n")").value(), Words{R"(a "b" \ $x `y \n)"});
  EXPECT_EQ(split_shell_words("\"a\\\nb\"").value(), Words{"ab"});
}

TEST(ShellWords, backslash_outside_quotes) {
  EXPECT_EQ(split_shell_words(R"(a\ b \"c\" \\)").value(), (Words{"a b", "\"c\"", "\\"}));
  EXPECT_EQ(split_shell_words("a\\\nb \\\n c").value(), (Words{"ab", "c"}));
}

TEST(ShellWords, pieces_side_by_side_are_one_word) { EXPECT_EQ(split_shell_words(R"(--x='1 2'"3"\ 4)").value(), Words{"--x=1 23 4"}); }

TEST(ShellWords, expands_nothing) {
  EXPECT_EQ(split_shell_words("$HOME *.csv ~ a|b #c ; & `id`").value(), (Words{"$HOME", "*.csv", "~", "a|b", "#c", ";", "&", "`id`"}));
}

TEST(ShellWords, refuses_what_is_not_finished) {
  for (const char* text : {"'", "a 'b", "\"", "\"a\\\"", "a\\"}) {
    const auto words = split_shell_words(text);
    ASSERT_FALSE(words) << text;
    EXPECT_EQ(words.error().code, ErrorCode::invalid_input);
  }
}

TEST(ShellWords, takes_any_bytes) { EXPECT_EQ(split_shell_words("\xff\xfe 'caf\xc3\xa9'").value(), (Words{"\xff\xfe", "caf\xc3\xa9"})); }

TEST(ShellWords, join_is_the_reverse) {
  const Words words{"", "plain", "a b", "it's", "\"", "\\", "\n", "-rf", "\xff", "$x", "'"};
  EXPECT_EQ(split_shell_words(join_shell_words(words)).value(), words);
}

}  // namespace
}  // namespace casemate
