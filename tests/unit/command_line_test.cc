#include "command/command_line.h"

#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

namespace casemate {
namespace {

// A program with an option of its own and two commands.
class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override {
    app_.require_subcommand(1);
    app_.fallthrough();
    declare_color(app_, color_);
    auto* list = app_.add_subcommand("list", "");
    list->add_flag("--quiet", quiet_, "");
    app_.add_subcommand("prune", "")->add_option("--unused-for", age_, "");
  }
  std::string problem(const std::vector<std::string>& arguments) {
    try {
      app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::Error& wrong) {
      return parse_problem(app_, wrong);
    }
    return "";
  }

  CLI::App app_{"", "program"};
  Color color_ = Color::automatic;
  bool quiet_ = false;
  std::string age_;
};

TEST_F(CommandLine, colours_are_three_words) {
  EXPECT_EQ(problem({"--color", "always", "list"}), "");
  EXPECT_EQ(color_, Color::always);
  EXPECT_EQ(problem({"list", "--color=never"}), "");
  EXPECT_EQ(color_, Color::never);
  EXPECT_EQ(problem({"list", "--color", "sometimes"}), "--color: 'sometimes': choose auto, always or never");
}

TEST_F(CommandLine, an_unknown_option_is_asked_about) {
  EXPECT_EQ(problem({"list", "--quite"}), "there is no option '--quite', did you mean '--quiet'?");
  EXPECT_EQ(problem({"prune", "--unused-fro=1d"}), "there is no option '--unused-fro', did you mean '--unused-for'?");
  EXPECT_EQ(problem({"list", "--colour", "never"}), "there is no option '--colour', did you mean '--color'?");
  EXPECT_EQ(problem({"list", "--frobnicate"}), "there is no option '--frobnicate'");
  EXPECT_EQ(problem({"prune", "--quiet"}), "there is no option '--quiet'") << "it is another command's";
  EXPECT_EQ(problem({"list", "a\x1b[2J"}).find('\x1b'), std::string::npos);
}

TEST_F(CommandLine, an_unknown_command_is_asked_about) {
  EXPECT_EQ(problem({"lsit"}), "there is no command 'lsit', did you mean 'list'?");
  EXPECT_EQ(problem({"frobnicate", "x"}), "there is no command 'frobnicate': list or prune");
  EXPECT_EQ(problem({}), "a command is missing: list or prune");
  EXPECT_EQ(problem({"list", "extra"}), "'extra' is one argument too many");
}

TEST(AsksForJsonObject, before_the_command_of_a_job) {
  EXPECT_TRUE(asks_for_json_object({"--x", "--json"}));
  EXPECT_FALSE(asks_for_json_object({"--", "tool", "--json"}));
  EXPECT_FALSE(asks_for_json_object({}));
}

}  // namespace
}  // namespace casemate
