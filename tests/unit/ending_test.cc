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
