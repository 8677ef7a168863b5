#include "image/glob_pattern.h"

#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "image/brace_expansion.h"

namespace casemate {
namespace {

bool matches(std::string_view pattern, std::string_view path) {
  const auto compiled = GlobPattern::compile(pattern);
  EXPECT_TRUE(compiled) << pattern << ": " << compiled.error().what;
  return compiled && compiled->matches(path);
}

bool below(std::string_view pattern, std::string_view directory) { return GlobPattern::compile(pattern)->may_match_below(directory); }

std::string problem(std::string_view pattern) {
  const auto compiled = GlobPattern::compile(pattern);
  if (compiled) return "it compiled";
  EXPECT_EQ(compiled.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(compiled.error().what.find('\n'), std::string::npos);
  return compiled.error().what;
}

TEST(GlobPattern, two_stars_in_a_name_reach_any_depth) {
  for (const char* path : {"a.py", "a/b.py", "a/b/c.py", ".hidden.py", "a/.b/c.py", ".py"}) EXPECT_TRUE(matches("**.py", path)) << path;
  for (const char* path : {"a.pyc", "a.py/b", "py"}) EXPECT_FALSE(matches("**.py", path)) << path;
  EXPECT_TRUE(matches("src/**.py", "src/a.py"));
  EXPECT_TRUE(matches("src/**.py", "src/x/y/a.py"));
  EXPECT_FALSE(matches("src/**.py", "other/a.py"));
  EXPECT_TRUE(matches("src/**test_*.py", "src/x/test_a.py"));
  EXPECT_FALSE(matches("src/**test_*.py", "src/x/test_a/b.py"));
}

TEST(GlobPattern, two_stars_as_a_part_are_directories) {
  for (const char* path : {"b", "a/b", "a/a/b"}) EXPECT_TRUE(matches("**/b", path)) << path;
  for (const char* path : {"ab", "a/ab", "b/c"}) EXPECT_FALSE(matches("**/b", path)) << path;
  for (const char* path : {"a/b", "a/x/b", "a/x/y/b"}) EXPECT_TRUE(matches("a/**/b", path)) << path;
  EXPECT_FALSE(matches("a/**/b", "a/xb"));
  EXPECT_TRUE(matches("a/**", "a/b/c"));
  EXPECT_FALSE(matches("a/**", "a"));
  EXPECT_TRUE(matches("**", "a/b/c"));
  EXPECT_TRUE(matches("**/tests/**/*.py", "x/tests/y/z/a.py"));
  EXPECT_TRUE(matches("**/tests/**/*.py", "tests/a.py"));
}

TEST(GlobPattern, one_star_stays_within_a_name) {
  EXPECT_TRUE(matches("*.py", "a.py"));
  EXPECT_FALSE(matches("*.py", "a/b.py"));
  EXPECT_TRUE(matches("*/*.py", "a/b.py"));
  EXPECT_FALSE(matches("*/*.py", "a/b/c.py"));
  EXPECT_TRUE(matches("a*b*c", "axxbyyc"));
  EXPECT_FALSE(matches("a*b*c", "axxbyyd"));
  EXPECT_TRUE(matches("*", ".hidden"));
}

TEST(GlobPattern, characters_and_sets) {
  EXPECT_TRUE(matches("a?c", "abc"));
  EXPECT_TRUE(matches("a?c",
                      "a\xc3\xa9"
                      "c"));
  EXPECT_TRUE(matches("a?c",
                      "a\xff"
                      "c"));
  EXPECT_FALSE(matches("a?c", "a/c"));
  EXPECT_TRUE(matches("[a-c]x", "bx"));
  EXPECT_FALSE(matches("[a-c]x", "dx"));
  EXPECT_TRUE(matches("[!a-c]x", "dx"));
  EXPECT_TRUE(matches("[^a]x", "dx"));
  EXPECT_FALSE(matches("a[!b]c", "a/c"));
  EXPECT_TRUE(matches("[]a]", "]"));
  EXPECT_TRUE(matches("[a-]", "-"));
  EXPECT_TRUE(matches("[\xc3\xa0-\xc3\xbf]", "\xc3\xa9"));
  EXPECT_TRUE(matches("\\*", "*"));
  EXPECT_FALSE(matches("\\*", "a"));
  EXPECT_TRUE(matches("[{,}]", ","));
}

TEST(GlobPattern, braces_are_alternatives) {
  for (const char* path : {"src/a.py", "tests/x/a.toml"}) EXPECT_TRUE(matches("{src,tests}/**.{py,toml}", path)) << path;
  EXPECT_FALSE(matches("{src,tests}/**.{py,toml}", "docs/a.py"));
  EXPECT_TRUE(matches("a{,b}", "a"));
  EXPECT_TRUE(matches("a{b,c{d,e}}", "ace"));
  EXPECT_TRUE(matches("\\{a,b\\}", "{a,b}"));
}

TEST(GlobPattern, how_it_is_typed_does_not_matter) {
  EXPECT_TRUE(matches("./a//b/", "a/b"));
  EXPECT_TRUE(matches("/srv/*.py", "/srv/a.py"));
  EXPECT_FALSE(matches("/srv/*.py", "srv/a.py"));
}

TEST(GlobPattern, what_is_wrong_is_told) {
  EXPECT_NE(problem("").find("empty"), std::string::npos);
  EXPECT_NE(problem("./").find("empty"), std::string::npos);
  EXPECT_NE(problem("[a").find("never closed"), std::string::npos);
  EXPECT_NE(problem("{a").find("never closed"), std::string::npos);
  EXPECT_NE(problem("a}").find("without"), std::string::npos);
  EXPECT_NE(problem("[b-a]").find("range"), std::string::npos);
  EXPECT_NE(problem("a\\").find("backslash"), std::string::npos);
  EXPECT_NE(problem(std::string(5000, 'a')).find("longer"), std::string::npos);
  EXPECT_NE(problem("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}").find("more than 1024"), std::string::npos);
  EXPECT_NE(problem(std::string(1000, '{')).find("too deep"), std::string::npos);
}

TEST(GlobPattern, directories_that_hold_nothing_need_not_be_entered) {
  EXPECT_TRUE(below("**.py", "any/where"));
  EXPECT_TRUE(below("src/**.py", "src"));
  EXPECT_TRUE(below("src/**.py", ""));
  EXPECT_FALSE(below("src/**.py", "docs"));
  EXPECT_FALSE(below("src/*.py", "src/deeper"));
  EXPECT_TRUE(below("*/b/*.py", "x/b"));
  EXPECT_FALSE(below("*/b/*.py", "x/c"));
  EXPECT_TRUE(below("/srv/*.py", "/srv"));
  EXPECT_TRUE(below("/srv/*.py", "/"));
  EXPECT_FALSE(below("/srv/*.py", "/usr"));
  EXPECT_TRUE(GlobPattern::compile("a/**")->takes_all_below("a"));
  EXPECT_TRUE(GlobPattern::compile("**/a/**")->takes_all_below("b/a"));
  EXPECT_FALSE(GlobPattern::compile("a/**.py")->takes_all_below("a"));
}

TEST(GlobPattern, fixed_directories_and_names) {
  EXPECT_EQ(GlobPattern::compile("src/lib/**.py")->fixed_directory(), "src/lib");
  EXPECT_EQ(GlobPattern::compile("**.py")->fixed_directory(), "");
  EXPECT_EQ(GlobPattern::compile("/*.py")->fixed_directory(), "/");
  EXPECT_EQ(GlobPattern::compile("../a/*")->fixed_directory(), "../a");
  EXPECT_EQ(GlobPattern::compile("src/a.py")->fixed_directory(), "src");
  EXPECT_TRUE(GlobPattern::compile("**/.git/config")->names(".git"));
  EXPECT_FALSE(GlobPattern::compile("**")->names(".git"));
}

// The same rules, written down without regard for time.
bool plainly(std::string_view pattern, std::string_view path, bool part_start = true) {
  if (pattern.empty()) return path.empty();
  if (pattern.starts_with("**")) {
    if (part_start && pattern.starts_with("**/")) {
      if (plainly(pattern.substr(3), path, true)) return true;
      for (std::size_t i = 0; i < path.size(); ++i) {
        if (path[i] == '/' && plainly(pattern.substr(3), path.substr(i + 1), true)) return true;
      }
      return false;
    }
    for (std::size_t i = 0; i <= path.size(); ++i) {
      if (plainly(pattern.substr(2), path.substr(i), false)) return true;
    }
    return false;
  }
  if (pattern[0] == '*') {
    for (std::size_t i = 0; i <= path.size() && (i == 0 || path[i - 1] != '/'); ++i) {
      if (plainly(pattern.substr(1), path.substr(i), false)) return true;
    }
    return false;
  }
  if (path.empty() || (pattern[0] == '?' ? path[0] == '/' : path[0] != pattern[0])) return false;
  return plainly(pattern.substr(1), path.substr(1), pattern[0] == '/');
}

TEST(GlobPattern, agrees_with_its_definition) {
  std::mt19937 random(7);
  const auto text = [&](std::string_view alphabet, std::size_t most) {
    std::string made;
    for (std::size_t n = 1 + random() % most; n > 0; --n) made += alphabet[random() % alphabet.size()];
    return made;
  };
  int matched = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string pattern = text("ab**/?", 9);
    if (pattern.find("***") != std::string::npos || pattern.find("//") != std::string::npos || pattern.ends_with('/')) continue;
    const std::string path = text("aab//b", 9);
    if (path.find("//") != std::string::npos || path.ends_with('/')) continue;
    const bool expected = plainly(pattern, path);
    matched += expected ? 1 : 0;
    ASSERT_EQ(matches(pattern, path), expected) << pattern << " on " << path;
    if (!expected) continue;
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
      ASSERT_TRUE(below(pattern, path.substr(0, slash))) << pattern << " below " << path;
  }
  EXPECT_GT(matched, 500);
}

TEST(GlobPattern, hostile_names_take_no_more_time_than_others) {
  EXPECT_FALSE(matches("**a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(255, 'a')));
  EXPECT_FALSE(matches("**/a/**/a/**/a/**/a/**/b", [] {
    std::string path;
    for (int i = 0; i < 2000; ++i) path += "a/";
    return path + "c";
  }()));
}

TEST(BraceExpansion, writes_out_in_order) {
  EXPECT_EQ(*expand_braces("/{proc,sys}/", false), (std::vector<std::string>{"/proc/", "/sys/"}));
  EXPECT_EQ(*expand_braces("a{b,c{d,}}", false), (std::vector<std::string>{"ab", "acd", "ac"}));
  EXPECT_EQ(*expand_braces("{a}", false), std::vector<std::string>{"a"});
  EXPECT_EQ(*expand_braces("plain,", false), std::vector<std::string>{"plain,"});
  EXPECT_EQ(without_escapes(expand_braces("a\\{b", false)->front()), "a{b");
  EXPECT_FALSE(expand_braces("{", false));
}

}  // namespace
}  // namespace casemate
