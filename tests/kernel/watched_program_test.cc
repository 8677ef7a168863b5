// Programs that run while we watch: they end with us, and leave nothing.
#include "sys/watched_program.h"

#include <csignal>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "scratch.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;

class WatchedPrograms : public Scratch {
 protected:
  static WatchedProgram shell(const std::string& line) {
    WatchedProgram program;
    program.argv = {"/bin/sh", "-c", line};
    program.env = {"PATH=/usr/bin:/bin", "ONLY=this"};
    program.interval = 10ms;
    return program;
  }
  // Waits for a process to be gone, up to half a minute. A zombie that nobody reaped counts as gone.
  static bool ends(pid_t pid) {
    for (int i = 0; i < 3000; ++i) {
      const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
      if (!stat || stat->find(") Z ") != std::string::npos) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  [[nodiscard]] pid_t noted(const std::string& name) const {
    for (int i = 0; i < 3000 && read(top_ / name).find('\n') == std::string::npos; ++i) std::this_thread::sleep_for(10ms);
    return std::atoi(read(top_ / name).c_str());
  }
};

TEST_F(WatchedPrograms, say_what_they_say_and_know_only_what_they_are_told) {
  const int before = open_fds();
  WatchedProgram program = shell(
      "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort; pwd; echo to-stderr >&2; read line; echo end=$?; ls /proc/self/fd | wc "
      "-l; exit 7");
  program.directory = top_;
  const auto result = run_watched(program);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_FALSE(result->end.signaled);
  EXPECT_EQ(result->end.code, 7);
  EXPECT_EQ(result->out, "ONLY=this\nPATH=/usr/bin:/bin\n" + fs::canonical(top_).string() + "\nend=1\n4\n");
  EXPECT_EQ(result->err, "to-stderr\n");
  EXPECT_EQ(open_fds(), before);
}

TEST_F(WatchedPrograms, are_killed_with_their_children_when_the_watch_says_so) {
  WatchedProgram program = shell("sleep 1000 & echo $! > child; wait");
  program.directory = top_;
  program.watch = [&]() -> Result<void> {
    if (read(top_ / "child").find('\n') == std::string::npos) return {};
    return fail(ErrorCode::cancelled, "enough");
  };
  const auto result = run_watched(program);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().what, "enough");
  EXPECT_TRUE(ends(noted("child")));
}

TEST_F(WatchedPrograms, leave_no_child_behind_at_their_end) {
  WatchedProgram program = shell("sleep 1000 & echo $! > child");
  program.directory = top_;
  ASSERT_TRUE(run_watched(program));
  EXPECT_TRUE(ends(noted("child")));
}

TEST_F(WatchedPrograms, die_when_we_are_killed) {
  const pid_t us = ::fork();
  if (us == 0) {
    WatchedProgram program = shell("echo $$ > pid; exec sleep 1000");
    program.directory = top_;
    static_cast<void>(run_watched(program));
    ::_exit(0);
  }
  const pid_t program = noted("pid");
  ASSERT_GT(program, 0);
  ::kill(us, SIGKILL);
  ::waitpid(us, nullptr, 0);
  EXPECT_TRUE(ends(program));
}

TEST_F(WatchedPrograms, who_talks_too_much_is_stopped) {
  const auto result = run_watched(shell("exec yes"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::exhausted);
  WatchedProgram loud = shell("yes | head -c 300000 >&2; echo done");
  const auto heard = run_watched(loud);
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->out, "done\n");
  EXPECT_EQ(heard->err.size(), 64u << 10);
}

TEST_F(WatchedPrograms, a_missing_one_is_an_error) {
  WatchedProgram program;
  program.argv = {top_ / "none"};
  const auto result = run_watched(program);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  EXPECT_EQ(program_on_path("no such program"), "");
  EXPECT_NE(program_on_path("sh"), "");
}

}  // namespace
}  // namespace casemate
