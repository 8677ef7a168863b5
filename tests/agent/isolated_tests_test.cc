// What the tests' command asks pytest for, as its cell has left it.
#include "apps/agent/isolated_tests.h"

#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace casemate {
namespace {

using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string call_with(const std::string& arguments) {
  return fmt::format(R"({{"arguments": [{}], "directory": "/work/tests", "environment": {{"A": "1"}}, "plugins": 0}})", arguments) + "\n";
}

std::string why(const std::string& text) {
  const auto call = call_from_json(text);
  if (call) return "";
  EXPECT_EQ(call.error().code, ErrorCode::not_supported) << text;
  return call.error().what;
}

TEST(PytestCall, is_what_was_given_without_reports_and_workers) {
  const auto call = call_from_json(call_with(
      R"("--src", "/work/project", "--junit-xml", "/x", "--junitxml=/y", "-n", "4", "-n2", "--dist=load", "-k", "a or b", "-nx", "tests")"));
  ASSERT_TRUE(call) << call.error().what;
  EXPECT_EQ(call->arguments, (Words{"--src", "/work/project", "-k", "a or b", "-nx", "tests"}));
  EXPECT_EQ(call->directory, "/work/tests");
  EXPECT_EQ(call->environment, (Variables{{"A", "1"}}));
}

TEST(PytestCall, of_more_than_one_or_with_objects_or_for_one_process_is_impossible) {
  EXPECT_TRUE(has(why(call_with("") + call_with("")), "more than once"));
  EXPECT_TRUE(has(why(R"({"arguments": [], "directory": "/", "environment": {}, "plugins": 1})"), "objects"));
  EXPECT_TRUE(has(why(call_with(R"("--pdb")")), "--pdb"));
  EXPECT_TRUE(has(why(call_with(R"("--stepwise")")), "--stepwise"));
}

TEST(PytestCall, of_hostile_bytes_is_impossible) {
  for (const std::string bytes : {"", "\n", "[]", "{}", "{", "\xff\xfe", R"({"directory": "work"})", R"({"directory": "/a\u0000b"})"})
    EXPECT_NE(why(bytes), "") << bytes;
  EXPECT_NE(why(call_with(R"("a\u0000b")")), "");
  EXPECT_NE(why(std::string(100'000, '[')), "");
  const auto call = call_from_json(
      R"({"arguments": [1, null, "x"], "directory": "/", "environment": {"": "a", "B=C": "d", "E": 1, "F": "a\u0000b", "G": "h"}})");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->arguments, (Words{"x"}));
  EXPECT_EQ(call->environment, (Variables{{"G", "h"}}));
}

TEST(PytestCall, is_not_read_through_a_link) {
  std::string scratch = "/var/tmp/casemate-call-XXXXXX";
  ASSERT_NE(::mkdtemp(scratch.data()), nullptr);
  std::filesystem::create_directory(scratch + "/asked");
  auto call = read_call(scratch);
  ASSERT_FALSE(call);
  EXPECT_TRUE(has(call.error().what, "does not call pytest"));
  std::filesystem::create_symlink("/etc/passwd", scratch + "/asked/asked.json");
  call = read_call(scratch);
  ASSERT_FALSE(call);
  EXPECT_TRUE(has(call.error().what, "can't be read"));
  std::filesystem::remove_all(scratch);
}

}  // namespace
}  // namespace casemate
