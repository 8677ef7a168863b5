#include "image/project_requirements.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "image/container.h"
#include "image/requirements.h"

namespace casemate {
namespace {

constexpr std::string_view kProject = R"toml([project]
name = "My.Thing"
dependencies = ["requests>=2", "rich"]
[project.optional-dependencies]
dev = ["black", "my-thing[docs,more]"]
docs = ["sphinx"]
more = ["rich[jupyter] ; python_version > '3.8'"]
[dependency-groups]
test = [
    "pytest>=8",
    "coverage",
]
All = ["mypy", { include-group = "test" }, { include-group = "lint" }]
lint = ["ruff", { include-group = "test" }]
loop = [{ include-group = "pool" }]
pool = [{ include-group = "loop" }]
)toml";

// The lines of a selection, without the empty ones.
std::string lines(std::string_view path, std::string_view toml = kProject) {
  const auto selection = project_selection(path);
  if (!selection) return "no pyproject.toml";
  const auto text = project_requirements(toml, *selection);
  if (!text) {
    EXPECT_EQ(text.error().code, ErrorCode::invalid_input);
    EXPECT_EQ(text.error().what.find('\n'), std::string::npos);
    return text.error().what;
  }
  std::string all;
  for (const char byte : *text) {
    if (byte != '\n' || (!all.empty() && all.back() != ';')) all += byte == '\n' ? ';' : byte;
  }
  return all;
}

TEST(ProjectRequirements, a_selection_is_spelled_behind_the_file_s_name) {
  const auto all = project_selection("/p/pyproject.toml[dev, docs]:test,lint");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->file, "/p/pyproject.toml");
  EXPECT_EQ(all->extras, (std::vector<std::string>{"dev", "docs"}));
  EXPECT_EQ(all->groups, (std::vector<std::string>{"test", "lint"}));
  EXPECT_EQ(all->spelled(), "pyproject.toml[dev,docs]:test,lint");
  EXPECT_TRUE(project_selection("pyproject.toml"));
  for (const char* other : {"requirements.txt", "pyproject.toml.txt", "pyproject.toml[dev", "/pyproject.toml/r.txt", "pyproject.tom", ""})
    EXPECT_FALSE(project_selection(other)) << other;
}

TEST(ProjectRequirements, dependencies_extras_and_groups) {
  EXPECT_EQ(lines("pyproject.toml"), "requests>=2;rich;");
  EXPECT_EQ(lines("pyproject.toml[docs]"), "requests>=2;rich;sphinx;");
  EXPECT_EQ(lines("pyproject.toml[dev]"), "requests>=2;rich;black;sphinx;rich[jupyter] ; python_version > '3.8';")
      << "an extra of the project itself is its other extra";
  EXPECT_EQ(lines("pyproject.toml:test"), "pytest>=8;coverage;") << "groups alone";
  EXPECT_EQ(lines("pyproject.toml:ALL"), "pytest>=8;coverage;mypy;ruff;") << "each once, names as PEP 503 compares them";
  EXPECT_EQ(lines("pyproject.toml[docs]:lint"), "requests>=2;rich;sphinx;pytest>=8;coverage;ruff;");
  EXPECT_EQ(lines("pyproject.toml", "[tool.x]\ny = 1"), "");
}

TEST(ProjectRequirements, a_line_is_where_the_file_has_it) {
  const auto text = project_requirements(kProject, *project_selection("pyproject.toml:test"));
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, std::string(9, '\n') + "pytest>=8\ncoverage\n");
}

TEST(ProjectRequirements, what_is_wrong_is_told_with_its_line) {
  EXPECT_EQ(lines("pyproject.toml[dve]"), "pyproject.toml:4: there is no extra 'dve', did you mean 'dev'?");
  EXPECT_EQ(lines("pyproject.toml:tets"), "pyproject.toml:8: there is no dependency group 'tets', did you mean 'test'?");
  EXPECT_EQ(lines("pyproject.toml:loop"), "pyproject.toml:1: a dependency group includes itself: loop -> pool -> loop");
  EXPECT_EQ(lines("pyproject.toml:x", ""), "pyproject.toml:1: there is no dependency group 'x'");
  EXPECT_EQ(lines("pyproject.toml", "[project]\ndynamic = [\"version\", \"dependencies\"]").substr(0, 17), "pyproject.toml:2:");
  EXPECT_EQ(lines("pyproject.toml", "[project]\ndependencies = 3"), "pyproject.toml:2: dependencies must be a list of strings: [\"...\"]");
  EXPECT_EQ(lines("pyproject.toml", "[project]\ndependencies = [3]"), "pyproject.toml:2: each of dependencies must be a string, in quotes");
  for (const char* bad : {"-r other.txt", "", "# x", "a\\nb", "a\\\\"})
    EXPECT_NE(lines("pyproject.toml", std::string("[project]\ndependencies = [\"") + bad + "\"]").find("is no requirement"),
              std::string::npos)
        << bad;
  EXPECT_EQ(lines("pyproject.toml", "[[").substr(0, 17), "pyproject.toml:1:");
}

TEST(ProjectRequirements, a_container_names_groups_and_extras) {
  const auto of = [](const std::string& toml) {
    auto spec = parse_container(toml, "/p/c.toml");
    EXPECT_TRUE(spec) << spec.error().what;
    return spec ? take_requirements(*spec) : std::nullopt;
  };
  EXPECT_EQ(of("requirements = { groups = [\"test\"] }"), "pyproject.toml:test");
  EXPECT_EQ(of("requirements = { groups = [\"a\", \"b\"], extras = [\"c\"] }"), "pyproject.toml[c]:a,b");
  EXPECT_EQ(of("requirements = {}"), "pyproject.toml");
  EXPECT_EQ(of("requirements = \"pyproject.toml:test\""), "pyproject.toml:test");
  EXPECT_FALSE(parse_container("requirements = { group = [] }", "c.toml"));
  EXPECT_FALSE(parse_container("requirements = { groups = [\"a/b\"] }", "c.toml"));
  EXPECT_FALSE(parse_container("requirements = 3", "c.toml"));
}

}  // namespace
}  // namespace casemate
