#include "apps/pytest/configuration.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "apps/pytest/init.h"
#include "session/directives.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

// A project, a user's and a machine's directory for configuration.
class PytestFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/var/tmp/casemate-configuration-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directory(root_ + "/project");
    variables_ = {{"XDG_CONFIG_HOME", root_ + "/home"}, {"XDG_CONFIG_DIRS", root_ + "/etc1:" + root_ + "/etc2:relative"}};
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(root_ + "/" + name).parent_path());
    std::ofstream(root_ + "/" + name) << text;
  }

  Result<PytestConfiguration> read(PytestConfiguration said = {}, const std::optional<std::string>& file = {}) {
    notes_.clear();
    const auto look_up = [&](const std::string& name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    };
    TRY(complete_configuration(said, {root_ + "/project", file, look_up}, notes_));
    return said;
  }

  PytestConfiguration good(const PytestConfiguration& said = {}, const std::optional<std::string>& file = {}) {
    auto read_ones = read(said, file);
    EXPECT_TRUE(read_ones) << read_ones.error().what;
    return read_ones ? *read_ones : PytestConfiguration{};
  }

  std::string problem() {
    const auto said = read();
    if (said) return "it worked";
    EXPECT_EQ(said.error().code, ErrorCode::invalid_input);
    return said.error().what.substr(std::min(root_.size(), said.error().what.size()));
  }

  std::string root_;
  std::map<std::string, std::string> variables_;
  Words notes_;
};

constexpr const char* kMaelstrom = "maelstrom/maelstrom-pytest/config.toml";

TEST_F(PytestFiles, without_any_nothing_is_said) { EXPECT_TRUE(good().empty()); }

TEST_F(PytestFiles, the_first_one_that_says_something_wins) {
  write("etc2/" + std::string(kMaelstrom), "slots = 1\nrepeat = 1\nui = 'quiet'\ntimeout = 1\nretries = 1\npids = 1\ncpus = 1\n");
  write("etc1/" + std::string(kMaelstrom), "slots = 2\nrepeat = 2\nui = 'fancy'\ntimeout = 2\nretries = 2\npids = 2\n");
  write("home/casemate/pytest.toml", "slots = 3\nrepeat = 3\nui = 'auto'\ntimeout = 3\nretries = 3\n");
  write("home/" + std::string(kMaelstrom), "slots = 4\nrepeat = 4\nui = 'auto'\ntimeout = 4.5\n");
  write("project/pyproject.toml", "[tool.casemate]\nslots = 5\nrepeat = 5\nui = 'simple'\n[[tool.casemate.directives]]\npids = 3\n");
  variables_["MAELSTROM_SLOTS"] = "6";
  variables_["MAELSTROM_REPEAT"] = "6";
  const auto said = good({{"slots", {{"7"}, "--slots"}}});
  const auto is = [&](const char* key, const char* value) { EXPECT_EQ(said.at(key).values, Words{value}) << key; };
  is("slots", "7");
  is("repeat", "6");
  is("ui", "simple");
  is("timeout", "4.5");
  is("retries", "3");
  is("pids", "2");
  is("cpus", "1");
  EXPECT_EQ(said.at("ui").origin, root_ + "/project/pyproject.toml:4");
  EXPECT_EQ(said.at("repeat").origin, "MAELSTROM_REPEAT");
  EXPECT_TRUE(notes_.empty());
}

TEST_F(PytestFiles, home_stands_in_for_the_configuration_s_directory) {
  variables_.erase("XDG_CONFIG_HOME");
  variables_["HOME"] = root_ + "/me";
  write("me/.config/" + std::string(kMaelstrom), "stop_after = 2\n");
  EXPECT_EQ(good().at("stop-after").values, Words{"2"}) << "a key may be written with '_'";
  variables_["XDG_CONFIG_HOME"] = "relative";
  EXPECT_EQ(good().at("stop-after").values, Words{"2"}) << "a relative one is ignored";
}

TEST_F(PytestFiles, one_file_may_stand_for_all_or_none) {
  write("home/" + std::string(kMaelstrom), "slots = 4\n");
  write("other.toml", "repeat = 2\n");
  const auto other = good({}, root_ + "/other.toml");
  EXPECT_FALSE(other.contains("slots"));
  EXPECT_EQ(other.at("repeat").values, Words{"2"});
  EXPECT_TRUE(good({}, "-").empty());
  const auto missing = read({}, root_ + "/missing.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

TEST_F(PytestFiles, unknown_keys_are_told_not_refused) {
  write("home/" + std::string(kMaelstrom), "slot = 4\nrepeat = 2\nbroekr = 'x'\n");
  EXPECT_EQ(good().size(), 1u);
  ASSERT_EQ(notes_.size(), 2u);
  const std::string file = root_ + "/home/" + kMaelstrom;
  std::sort(notes_.begin(), notes_.end());
  EXPECT_EQ(notes_[0], file + ":1: there is no setting 'slot', did you mean 'slots'?");
  EXPECT_EQ(notes_[1], file + ":3: there is no setting 'broekr', did you mean 'broker'?");
  fs::remove(file);
  write("project/pyproject.toml", "[[tool.casemate.directive]]\n");
  good();
  EXPECT_EQ(notes_, Words{root_ + "/project/pyproject.toml:1: there is no setting 'directive', did you mean 'directives'?"});
}

TEST_F(PytestFiles, values_have_types) {
  const std::string file = "home/" + std::string(kMaelstrom);
  write(file, "extra-pytest-args = ['-k', 'a b']\ngithub = true\n");
  EXPECT_EQ(good().at("extra-pytest-args").values, (Words{"-k", "a b"}));
  EXPECT_EQ(good().at("github").values, Words{"true"});
  const std::string place = "/home/" + std::string(kMaelstrom);
  write(file, "\nextra-pytest-args = 'x'");
  EXPECT_EQ(problem(), place + ":2: extra-pytest-args must be a list of strings: [\"...\"]");
  write(file, "github = 'yes'");
  EXPECT_EQ(problem(), place + ":1: github must be true or false");
  write(file, "slots = [1]");
  EXPECT_EQ(problem(), place + ":1: slots must be a string, in quotes");
  write(file, "slots = ");
  EXPECT_EQ(problem().substr(0, place.size() + 3), place + ":1:");
  write(file, "");
  write("project/pyproject.toml", "[[");
  EXPECT_EQ(problem().substr(0, 26), "/project/pyproject.toml:1:");
}

TEST_F(PytestFiles, a_value_that_means_nothing_is_told_with_its_place) {
  write("home/" + std::string(kMaelstrom), "\nslots = 1001\n");
  PytestRequest request;
  const auto stored = store_configuration(good(), request);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().what, root_ + "/home/" + kMaelstrom + ":2: slots: '1001' is not a number from 1 to 1000");
}

TEST_F(PytestFiles, the_printed_configuration_says_the_same_again) {
  const PytestConfiguration said = {{"slots", {{"3"}, "--slots"}}, {"ui", {{"quiet"}, "X"}},
                                    {"timeout", {{"1.5"}, "X"}},   {"html", {{"a \"b\"\\\x1f"}, "X\n"}},
                                    {"github", {{"false"}, "X"}},  {"extra-pytest-args", {{"-k", "a b"}, "X"}}};
  write("again.toml", print_configuration(said));
  const auto again = good({}, root_ + "/again.toml");
  for (const auto& [key, value] : said) EXPECT_EQ(again.at(key).values, value.values) << key;
  PytestRequest request;
  EXPECT_TRUE(store_configuration(again, request)) << "the defaults are values too";
  EXPECT_TRUE(notes_.empty());
}

TEST_F(PytestFiles, the_first_directives_are_written_once_and_are_right) {
  const std::string project = root_ + "/project";
  const auto told = write_first_directives(project, true);
  ASSERT_TRUE(told) << told.error().what;
  EXPECT_TRUE(told->starts_with("Wrote default config to " + project + "/maelstrom-pytest.toml.\n")) << *told;
  auto directives = Directives::of_project(project);
  ASSERT_TRUE(directives) << directives.error().what;
  const TestContainer& container = directives->container(directives->of_all());
  EXPECT_EQ(container.container.image, "docker://python:3.11-slim");
  EXPECT_EQ(container.container.layers.size(), 3u);
  EXPECT_EQ(container.requirements, "test-requirements.txt");
  EXPECT_EQ(container.container.environment.at("PYTEST_XDIST_AUTO_NUM_WORKERS"), "1");
  const auto again = write_first_directives(project, true);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::refused);
  EXPECT_EQ(again.error().what, "Config already exists at " + project + "/maelstrom-pytest.toml. Doing nothing.");
  EXPECT_EQ(write_first_directives(project, false).error().what, project + "/maelstrom-pytest.toml is there already; it stays as it is");
  EXPECT_FALSE(write_first_directives(root_ + "/missing", true));
}

TEST(FirstDirectives, ours_change_nothing_and_all_that_is_commented_out_is_right) {
  auto own = Directives::parse(first_directives(false), "m.toml");
  ASSERT_TRUE(own) << own.error().what;
  EXPECT_EQ(own->container(own->of_all()), TestContainer{});
  for (const bool as_maelstrom : {false, true}) {
    std::string text = first_directives(as_maelstrom);
    // "# name = value" and "# [[...]]" are the commented ones; prose has no '='.
    std::string uncommented;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      std::string line = text.substr(at, end - at);
      const bool is_code = line.starts_with("# [[") || (line.starts_with("# ") && line.find(" = ") < 32);
      if (is_code) line = line.substr(2);
      uncommented += line + "\n";
      at = end + 1;
    }
    const auto parsed = Directives::parse(uncommented, "m.toml");
    EXPECT_TRUE(parsed) << parsed.error().what << "\n" << uncommented;
  }
}

}  // namespace
}  // namespace casemate
