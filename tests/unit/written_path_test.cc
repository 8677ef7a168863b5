#include "runtime/written_path.h"

#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

TEST(LexicalPath, IsAbsoluteAndHasNoOddParts) {
  EXPECT_EQ(lexical_path("a/./b//c/../d/", "/work"), "/work/a/b/d");
  EXPECT_EQ(lexical_path("../../../x", "/work"), "/x");
  EXPECT_EQ(lexical_path("/", "/work"), "/");
  EXPECT_EQ(lexical_path(".", "/work"), "/work");
  EXPECT_TRUE(is_at_or_below("/a/b", "/a"));
  EXPECT_TRUE(is_at_or_below("/a", "/a"));
  EXPECT_FALSE(is_at_or_below("/ab", "/a"));
  EXPECT_TRUE(is_at_or_below("/ab", "/"));
}

TEST(DirectoryOf, EndsAtTheTop) {
  EXPECT_EQ(directory_of("/a/b"), "/a");
  EXPECT_EQ(directory_of("/a"), "/");
  EXPECT_EQ(directory_of("/"), "");
  EXPECT_EQ(directory_of("a"), "");
  EXPECT_EQ(last_part("/a/b"), "b");
  EXPECT_EQ(last_part("a"), "a");
  EXPECT_EQ(last_part("/"), "");
  EXPECT_EQ(quoted("a\x1b"), "'a\\x1b'");
}

TEST(PlainPath, StaysRelative) {
  EXPECT_EQ(plain_path("./a//b/../c/"), "a/c");
  EXPECT_EQ(plain_path("../a"), "../a");
  EXPECT_EQ(plain_path("/"), "/");
}

}  // namespace
}  // namespace casemate::runtime
