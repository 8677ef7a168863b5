#include "apps/run/ending.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Kind = Outcome::Kind;

std::string line(const char* step, int errno_value) { return ending_line({.kind = Kind::setup_failed, .code = errno_value, .step = step}); }

TEST(Ending, a_command_is_not_found_as_in_a_shell) {
  EXPECT_TRUE(line("execve frobnicate", ENOENT).starts_with("frobnicate: command not found in the cell; "))
      << line("execve frobnicate", ENOENT);
  EXPECT_TRUE(line("execve ./x", ENOENT).starts_with("./x: not found in the cell, or the loader"));
  EXPECT_TRUE(line("execve /etc/passwd/x", ENOTDIR).starts_with("/etc/passwd/x: not found in the cell"));
}

TEST(Ending, a_command_that_looks_like_an_image_is_asked_about) {
  EXPECT_EQ(line("execve docker://x/y", ENOENT), "docker://x/y: command not found in the cell; did you mean --image docker://x/y?");
  EXPECT_EQ(line("execve python:3.11", ENOENT), "python:3.11: command not found in the cell; did you mean --image docker://python:3.11?");
  EXPECT_EQ(line("execve oci:layout", ENOENT), "oci:layout: command not found in the cell; did you mean --image oci:layout?");
  for (const char* step : {"execve ./a:b", "execve /a:b", "execve python", "execve a:b:c", "execve https://x/y"})
    EXPECT_EQ(line(step, ENOENT).find("did you mean"), std::string::npos) << step;
}

TEST(Ending, on_an_image_nothing_is_said_of_the_host) {
  const Outcome outcome{.kind = Kind::setup_failed, .code = ENOENT, .step = "execve frobnicate"};
  EXPECT_NE(ending_line(outcome).find("what of the host is shown"), std::string::npos);
  EXPECT_EQ(ending_line(outcome, true).find("host"), std::string::npos) << ending_line(outcome, true);
  EXPECT_NE(ending_line(outcome, true).find("--layer"), std::string::npos);
}

TEST(Ending, a_command_that_cannot_be_executed_is_told_with_the_reason) {
  EXPECT_TRUE(line("execve /etc/passwd", EACCES).starts_with("/etc/passwd: can't be executed: Permission denied (a directory, "));
  EXPECT_TRUE(line("execve data", ENOEXEC).starts_with("data: can't be executed: Exec format error (neither a program"));
  EXPECT_EQ(line("execve true", E2BIG), "true: can't be executed: Argument list too long");
}

TEST(Ending, everything_else_has_the_words_of_its_outcome) {
  for (const Outcome& outcome : {Outcome{Kind::setup_failed, EPERM, "mount /proc"}, Outcome{Kind::timed_out, 0, "", "wall time 1.00 s"},
                                 Outcome{Kind::out_of_memory}, Outcome{Kind::setup_failed, ENOENT, "mkdir x"}})
    EXPECT_EQ(ending_line(outcome), words(outcome));
}

}  // namespace
}  // namespace casemate
