#include "apps/agent/log.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "scratch_directory.h"

namespace casemate {
namespace {

class AgentLogTest : public ScratchDirectory {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ScratchDirectory::SetUp());
    path_ = directory_ + "/agent.log";
  }
  Log open(LogLevel least = LogLevel::debug, bool json = false) {
    auto log = Log::open(path_, least, json);
    EXPECT_TRUE(log) << log.error().what;
    return std::move(*log);
  }
  std::vector<std::string> lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  }
  std::vector<std::string> lines() { return lines(path_); }

  std::string path_;
};

TEST_F(AgentLogTest, a_line_is_time_level_message) {
  Log log = open();
  log.write(LogLevel::warning, "something is odd");
  log.write(LogLevel::debug, "is taken", "attempt 21");
  const auto said = lines();
  ASSERT_EQ(said.size(), 2u);
  EXPECT_TRUE(std::regex_match(said[0], std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} WARNING something is odd)")))
      << said[0];
  EXPECT_TRUE(said[1].ends_with(" DEBUG attempt 21: is taken")) << said[1];
}

TEST_F(AgentLogTest, levels_below_the_least_are_left_out_but_for_what_was_asked_for) {
  Log log = open(LogLevel::error);
  for (const auto level : {LogLevel::debug, LogLevel::info, LogLevel::warning}) log.write(level, "no");
  log.write(LogLevel::error, "yes");
  log.write(LogLevel::critical, "yes");
  log.tell("status");
  const auto said = lines();
  ASSERT_EQ(said.size(), 3u);
  EXPECT_TRUE(said[1].ends_with(" CRITICAL yes"));
  EXPECT_TRUE(said[2].ends_with(" INFO status"));
}

TEST_F(AgentLogTest, hostile_text_stays_on_one_line_and_drives_no_terminal) {
  Log log = open();
  log.write(LogLevel::info, "a\nb\x1b[2J\xff\t" + std::string(100'000, 'x'), "id \n\x1b");
  const auto said = lines();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("a\\nb\\x1b[2J\\xff\\txxx"), std::string::npos) << said[0].substr(0, 200);
  EXPECT_LT(said[0].size(), 10'000u);
}

TEST_F(AgentLogTest, json_is_an_object_a_line) {
  Log log = open(LogLevel::debug, true);
  log.write(LogLevel::error, "a \"b\"\n\xff\x1b\u202e", "attempt 21");
  log.write(LogLevel::info, "plain");
  const auto said = lines();
  ASSERT_EQ(said.size(), 2u);
  const auto first = nlohmann::json::parse(said[0]);
  EXPECT_EQ(first["level"], "error");
  EXPECT_EQ(first["message"], "a \"b\"\n\ufffd\x1b\u202e");
  EXPECT_EQ(first["task"], "attempt 21");
  EXPECT_TRUE(std::ranges::all_of(said[0], [](char byte) { return byte >= ' ' && byte < 0x7f; })) << said[0];
  EXPECT_FALSE(nlohmann::json::parse(said[1]).contains("task"));
}

TEST_F(AgentLogTest, a_file_is_appended_to_and_opened_again_when_it_was_moved_away) {
  {
    open().write(LogLevel::info, "one");
  }
  Log log = open();
  log.write(LogLevel::info, "two");
  std::filesystem::rename(path_, path_ + ".1");
  log.write(LogLevel::info, "three");
  log.reopen();
  log.write(LogLevel::info, "four");
  EXPECT_EQ(lines(path_ + ".1").size(), 3u);
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_TRUE(lines()[0].ends_with("four"));
}

TEST_F(AgentLogTest, lines_of_threads_do_not_mix) {
  Log log = open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&log] {
      for (int j = 0; j < 200; ++j) log.write(LogLevel::info, std::string(500, 'y'));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto said = lines();
  ASSERT_EQ(said.size(), 800u);
  for (const std::string& line : said) EXPECT_TRUE(line.ends_with(" INFO " + std::string(500, 'y')));
}

TEST_F(AgentLogTest, a_file_that_cannot_be_written_is_named) {
  const auto log = Log::open(directory_ + "/none/agent.log", LogLevel::info, false);
  ASSERT_FALSE(log);
  EXPECT_TRUE(log.error().what.starts_with("--logger-output: can't open " + directory_)) << log.error().what;
}

TEST_F(AgentLogTest, an_url_is_shown_without_user_and_password) {
  EXPECT_EQ(shown_url("https://user:token@host/a@b.git"), "https://host/a@b.git");
  EXPECT_EQ(shown_url("https://host/a@b.git"), "https://host/a@b.git");
  EXPECT_EQ(shown_url("https://us@er:to@host"), "https://host");
  EXPECT_EQ(shown_url("git@host:a.git"), "git@host:a.git");
  EXPECT_EQ(shown_url(""), "");
}

}  // namespace
}  // namespace casemate
