// The examples of docs/guide/pytest.md are right.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "session/directives.h"
#include "session/filter.h"

namespace casemate {
namespace {

std::string guide() {
  std::ostringstream text;
  text << std::ifstream(CASEMATE_SOURCE_DIR "/docs/guide/pytest.md").rdbuf();
  return text.str();
}

// All that stands between `open` and `close`.
std::vector<std::string> between(const std::string& text, const std::string& open, const std::string& close) {
  std::vector<std::string> found;
  for (std::size_t at = text.find(open); at != std::string::npos;) {
    const std::size_t start = at + open.size();
    const std::size_t end = text.find(close, start);
    found.push_back(text.substr(start, end - start));
    at = end == std::string::npos ? end : text.find(open, end + close.size());
  }
  return found;
}

TEST(PytestGuide, files_are_read_as_they_stand_there) {
  const auto files = between(guide(), "```toml\n", "```");
  ASSERT_EQ(files.size(), 2u);
  auto first = Directives::parse(files[0], "first.toml");
  ASSERT_TRUE(first) << first.error().what;
  const auto of = [&](const TestCase& test) { return first->container(first->of(test)); };
  EXPECT_EQ(of({.file = "tests/a.py", .name = "a", .markers = {"network"}}).container.network, Network::outbound);
  EXPECT_EQ(of({.file = "tests/big/a.py", .name = "a"}).container.limits.memory_bytes, 2ull << 30);
  EXPECT_FALSE(of({.file = "tests/big/a.py", .name = "test_small"}).container.limits.memory_bytes);
  EXPECT_TRUE(of({.id = "tests/test_old.py::test_gone"}).ignore);
  auto second = Directives::parse(files[1], "second.toml");
  ASSERT_TRUE(second) << second.error().what;
  const auto& data = second->container(second->of({.name = "a", .markers = {"data"}}));
  EXPECT_EQ(data.requirements, "requirements-test.txt");
  EXPECT_EQ(data.container.layers.size(), 2u);
  EXPECT_EQ(data.container.mounts.size(), 1u);
}

TEST(PytestGuide, filters_can_be_read) {
  const std::string text = guide();
  const std::size_t start = text.find("## Filters");
  const std::string section = text.substr(start, text.find("\n## ", start) - start);
  std::size_t read = 0;
  for (const std::string& code : between(section, "`", "`")) {
    const bool is_filter = code.find('(') > 3 && code.find('(') != std::string::npos && code.find("column") == std::string::npos;
    if (!is_filter) continue;
    ++read;
    EXPECT_TRUE(TestFilter::parse(code)) << code;
  }
  EXPECT_GE(read, 11u);
}

}  // namespace
}  // namespace casemate
