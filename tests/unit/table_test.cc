#include "report/table.h"

#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

namespace casemate {
namespace {

TEST(Table, aligns_by_characters_and_leaves_no_blanks_at_the_end) {
  Table table({{"NAME"}, {"SIZE", Table::Align::right}, {"NOTE"}});
  table.add({"é", "1 B"});
  table.add({"longer", "10 KiB", "x"});
  EXPECT_EQ(table.text(false), "NAME      SIZE  NOTE\né          1 B\nlonger  10 KiB  x\n");
}

TEST(Table, a_wide_character_takes_two_columns) {
  Table table({{"NAME"}, {"NOTE"}});
  table.add({"漢字", "x"});
  table.add({"abcde", "y"});
  EXPECT_EQ(table.text(false), "NAME   NOTE\n漢字   x\nabcde  y\n");
}

TEST(Table, colours_rows_where_asked) {
  Table table({{"A"}});
  table.add({"bad"}, "31");
  table.add({"good"});
  EXPECT_EQ(table.text(true), "\x1b[1mA\x1b[0m\n\x1b[31mbad\x1b[0m\ngood\n");
  EXPECT_EQ(table.text(false), "A\nbad\ngood\n");
}

TEST(Table, colour_needs_a_terminal_unless_forced) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_FALSE(colored(Color::automatic, ends[1]));
  EXPECT_TRUE(colored(Color::always, ends[1]));
  EXPECT_FALSE(colored(Color::never, ends[1]));
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace casemate
