// What is known of operations whose process was killed.
#include <csignal>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../executors/conformance.h"
#include "remote/operation_log.h"

namespace casemate {
namespace {

std::set<std::string> left(const OperationLog& log) {
  std::set<std::string> names;
  log.end_left([&](const std::string& name) { return names.insert(name).second; });
  return names;
}

// A process that has begun a, b and c, ended b, and is killed.
void leave(const std::string& directory, const std::string& engine) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    OperationLog log(directory, engine);
    for (const char* name : {"a", "b", "c"}) log.began(name);
    log.ended("b");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(OperationLog, what_a_killed_process_left_is_told_once_to_who_has_the_same_engine) {
  const Scratch scratch;
  leave(scratch.path(), "engine");
  EXPECT_EQ(left(OperationLog(scratch.path(), "another")), std::set<std::string>());
  const OperationLog next(scratch.path(), "engine");
  EXPECT_EQ(left(next), (std::set<std::string>{"a", "c"}));
  EXPECT_EQ(left(next), std::set<std::string>());
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(OperationLog, what_could_not_be_ended_is_told_again) {
  const Scratch scratch;
  leave(scratch.path(), "engine");
  const OperationLog next(scratch.path(), "engine");
  next.end_left([](const std::string&) { return false; });
  EXPECT_EQ(left(next).size(), 2u);
}

TEST(OperationLog, what_runs_is_nobody_elses_and_nothing_is_left_of_it) {
  const Scratch scratch;
  {
    OperationLog log(scratch.path(), "engine");
    EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
    log.began("a");
    EXPECT_EQ(left(OperationLog(scratch.path(), "engine")), std::set<std::string>());
    log.ended("a");
    log.ended("never begun");
    const auto file = std::filesystem::directory_iterator(scratch.path())->path();
    EXPECT_EQ(std::filesystem::file_size(file), 0u);
    log.began("b");
    EXPECT_EQ(std::filesystem::file_size(file), 3u);
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace casemate
