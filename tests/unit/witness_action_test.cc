// The witness of an action as a real process, in a directory that stands for an action's input root: what it holds, what it tells, and
// that nobody else can tell it. And what it is told and tells, as bytes.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "witness/action_report.h"
#include "witness/order.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class WitnessOfAction : public testing::Test {
 protected:
  struct Ended {
    int status = -1;  ///< as waitpid(2) has it
    std::string out, err;
    Result<ActionReport> report = fail(ErrorCode::not_found, "no report");
  };

  void SetUp() override {
    std::string name = fs::temp_directory_path() / "casemate_action.XXXXXX";
    ASSERT_TRUE(::mkdtemp(name.data()));
    root_ = name;
    fs::create_directory(root_ / ".casemate");
    order_.env = {{"PATH", "/usr/bin:/bin"}};
    order_.cwd = root_;
  }
  void TearDown() override {
    std::error_code problem;
    fs::permissions(root_ / ".casemate", fs::perms::all, problem);
    fs::remove_all(root_, problem);
  }
  void shell(const std::string& line) { order_.argv = {"sh", "-c", line}; }

  Ended run() {
    std::ofstream(root_ / ".casemate/order", std::ios::binary) << order_bytes(order_);
    const fs::path out = root_.string() + ".out", err = root_.string() + ".err";
    const pid_t child = ::fork();
    if (child == 0) {
      if (::chdir(root_.c_str()) < 0) ::_exit(99);
      ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
      ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
      ::execl(CASEMATE_BINARY_DIR "/bin/" CASEMATE_WITNESS, "casemate-witness", "action", ".casemate/order", nullptr);
      ::_exit(98);
    }
    Ended ended;
    ::waitpid(child, &ended.status, 0);
    ended.out = text_of(out);
    ended.err = text_of(err);
    fs::remove(out);
    fs::remove(err);
    if (fs::exists(root_ / ".casemate/result")) ended.report = read_report(text_of(root_ / ".casemate/result"));
    return ended;
  }
  static std::string changes(const ActionReport& report) {
    std::string text;
    for (const ChangedPath& change : report.changes)
      text += fmt::format("{} {}{}{}\n", static_cast<int>(change.kind), change.path, change.target.empty() ? "" : " -> ", change.target);
    return text;
  }

  fs::path root_;
  WitnessOrder order_;
};

TEST(WitnessOrder, is_the_same_after_a_journey) {
  WitnessOrder order;
  order.argv = {"a", std::string("b\0c\xff", 4), ""};
  order.env = {{"A", "1"}, {"B", "\xfe\n"}};
  order.cwd = "/app/x";
  order.user = User{1000, 0};
  order.strict = order.has_stdin = true;
  order.limits.memory_bytes = 0;
  order.limits.pids = 7;
  order.limits.wall = std::chrono::milliseconds(1);
  order.limits.file_bytes = 1ull << 50;
  order.places = {"/app", "/casemate/env"};
  order.fresh = {{"/tmp", 01777, true}, {"/root", 0755}};
  order.collect = {"/app"};
  order.image = true;
  order.spot_checks = {"/usr/bin/python3"};
  const auto again = read_order(order_bytes(order));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(*again, order);
}

TEST(WitnessOrder, of_any_other_bytes_is_none) {
  const std::string whole = order_bytes({.argv = {"true"}, .env = {{"A", "b"}}, .collect = {"/app"}});
  ASSERT_TRUE(read_order(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) EXPECT_FALSE(read_order(whole.substr(0, length))) << length;
  EXPECT_FALSE(read_order(whole + "x"));
  for (std::size_t at = 0; at + 8 <= whole.size(); ++at) {
    std::string other = whole;
    for (std::size_t i = 0; i < 8; ++i) other[at + i] = '\xff';
    (void)read_order(other);  // whatever comes of it, in bounded time and memory
  }
}

TEST(ActionReport, of_hostile_bytes_is_none) {
  ActionReport report;
  report.job.exit_status = 0;
  report.changes.push_back({.path = "a/b", .number = 1});
  report.turns = {{Stream::err, 5}};
  const std::string whole = report_bytes(report);
  const auto again = read_report(whole);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->changes, report.changes);
  EXPECT_EQ(again->turns, report.turns);
  for (std::size_t length = 0; length < whole.size(); ++length) EXPECT_FALSE(read_report(whole.substr(0, length))) << length;
  for (const char* path : {"", "/a", "..", "a/../b", "a//b", "a/", "."}) {
    report.changes[0].path = path;
    EXPECT_FALSE(read_report(report_bytes(report))) << path;
  }
  EXPECT_FALSE(read_report(report_bytes(ActionReport{})));  // says nothing of how it ended
}

TEST(ActionReport, fits_one_exit_code_only) {
  ActionReport report;
  report.job.exit_status = 0;
  EXPECT_EQ(exit_code_of(report), 0);
  report.reports_cut = true;
  EXPECT_EQ(exit_code_of(report), 124);
  report.reports_cut = false;
  report.job.leftovers = {{7, "sleep"}};
  EXPECT_EQ(exit_code_of(report), 124);  // for engines that keep what exits with 0
  report.job.leftovers.clear();
  for (const EndedFor why : {EndedFor::disk, EndedFor::files}) {
    report.ended_for = why;
    EXPECT_EQ(exit_code_of(report), 124);
  }
  report.job.exec_errno = ENOENT;
  EXPECT_EQ(exit_code_of(report), 127);
  report.setup_step = "start the job";
  EXPECT_EQ(exit_code_of(report), 125);
  report = {};
  report.job.exit_status = 200;
  EXPECT_EQ(exit_code_of(report), 127);
}

// Whoever adds the times up must not leave what a number holds.
TEST(ActionReport, tells_no_time_without_end) {
  ActionReport report;
  report.job.exit_status = 0;
  report.job.wall_us = report.job.user_cpu_us = report.job.system_cpu_us = report.job.major_faults = ~0ull;
  const auto read = read_report(report_bytes(report));
  ASSERT_TRUE(read);
  for (const std::uint64_t told : {read->job.wall_us, read->job.user_cpu_us, read->job.system_cpu_us, read->job.major_faults})
    EXPECT_EQ(told, kMostTold);
  WitnessReport heard;
  heard.hear("wall=18446744073709551615 user=9223372036854775807 system=9223372036854775807 minor=18446744073709551615");
  for (const std::uint64_t told : {heard.wall_us, heard.user_cpu_us, heard.system_cpu_us, heard.minor_faults}) EXPECT_EQ(told, kMostTold);
}

TEST_F(WitnessOfAction, passes_output_on_and_tells_the_status) {
  shell("echo out; sleep 0.05; echo err >&2; sleep 0.05; echo more; exit 3");
  const Ended ended = run();
  EXPECT_EQ(ended.out, "out\nmore\n");
  EXPECT_EQ(ended.err, "err\n");
  ASSERT_TRUE(WIFEXITED(ended.status));
  EXPECT_EQ(WEXITSTATUS(ended.status), 3);
  ASSERT_TRUE(ended.report) << ended.report.error().what;
  EXPECT_EQ(ended.report->job.exit_status, 3);
  EXPECT_EQ(exit_code_of(*ended.report), 3);
  const std::vector<ActionReport::Turn> turns = {{Stream::out, 4}, {Stream::err, 4}, {Stream::out, 5}};
  EXPECT_EQ(ended.report->turns, turns);
  EXPECT_GE(ended.report->job.wall_us, 100'000u);
}

TEST_F(WitnessOfAction, tells_a_signal_from_a_status) {
  shell("kill -SEGV $$");
  EXPECT_EQ(run().report->job.signal, SIGSEGV);
  shell("exit 139");
  const Ended ended = run();
  EXPECT_EQ(ended.report->job.exit_status, 139);
  EXPECT_EQ(WEXITSTATUS(ended.status), 127);  // 128 and more are of who was killed
}

TEST_F(WitnessOfAction, tells_what_can_not_be_executed) {
  order_.argv = {"no-such-program"};
  Ended ended = run();
  ASSERT_TRUE(ended.report);
  EXPECT_EQ(ended.report->job.exec_errno, ENOENT);
  order_.argv = {"/etc/passwd"};
  ended = run();
  EXPECT_EQ(ended.report->job.exec_errno, EACCES);
  shell("true");
  order_.cwd = "/proc/none";
  ended = run();
  EXPECT_EQ(ended.report->setup_step, "change to the directory /proc/none");
}

// Somebody else's file in place of one that was sent.
TEST_F(WitnessOfAction, runs_nothing_where_it_does_not_see_what_was_sent) {
  fs::create_directory(root_ / ".casemate/spots");
  order_.spot_checks = {root_ / "program"};
  const auto ended_with = [&](const std::string& sent, const std::string& there) {
    std::ofstream(root_ / ".casemate/spots/0") << sent;
    std::ofstream(root_ / "program") << there;
    return run();
  };
  shell("echo ran");
  EXPECT_EQ(ended_with("same", "same").out, "ran\n");
  const Ended other = ended_with("same", "diff");
  ASSERT_TRUE(other.report);
  EXPECT_EQ(other.report->setup_step, "compare what was sent with what is there");
  EXPECT_EQ(other.report->setup_detail.find((root_ / "program").string() + " is not what was sent"), 0u) << other.report->setup_detail;
  EXPECT_EQ(other.out, "");
  EXPECT_FALSE(ended_with("same", "longer").report->setup_step.empty());
  // Of large ones the size alone.
  const std::string large(100'000, 'x');
  EXPECT_EQ(ended_with(large, std::string(100'000, 'y')).out, "ran\n");
  EXPECT_FALSE(ended_with(large, large + "y").report->setup_step.empty());
  for (const char* what : {"missing", "a directory", "a FIFO"}) {
    SCOPED_TRACE(what);
    fs::remove_all(root_ / "program");
    if (what[0] == 'a' && what[2] == 'd') fs::create_directory(root_ / "program");
    if (what[0] == 'a' && what[2] == 'F') ASSERT_EQ(::mkfifo((root_ / "program").c_str(), 0600), 0);
    EXPECT_FALSE(run().report->setup_step.empty());
  }
  fs::remove_all(root_ / "program");
  fs::create_hard_link(root_ / ".casemate/spots/0", root_ / "program");
  EXPECT_EQ(run().out, "ran\n");
  fs::remove(root_ / ".casemate/spots/0");
  const Ended lost = run();
  EXPECT_EQ(lost.report->setup_errno, ENOENT);
  EXPECT_EQ(lost.report->setup_detail, ".casemate/spots/0 is missing");
}

TEST_F(WitnessOfAction, has_the_environment_and_stdin_of_its_order) {
  order_.env["WITH"] = "a\nb\xff";
  order_.has_stdin = true;
  std::ofstream(root_ / ".casemate/stdin") << "input";
  shell("env | grep -a -A1 WITH; env | wc -l; cat; pwd");
  EXPECT_EQ(run().out, "WITH=a\nb\xff\n4\ninput" + root_.string() + "\n");  // sh adds PWD, and one value has two lines
}

TEST_F(WitnessOfAction, ends_what_runs_too_long_and_all_that_belongs_to_it) {
  order_.limits.wall = std::chrono::milliseconds(300);
  shell("(setsid sleep 1000 & ) ; sleep 1000");
  const Ended ended = run();
  ASSERT_TRUE(ended.report);
  EXPECT_EQ(ended.report->ended_for, EndedFor::wall);
  EXPECT_FALSE(ended.report->job.exit_status);
  EXPECT_TRUE(ended.report->notes.empty()) << ended.report->notes[0];
}

TEST_F(WitnessOfAction, names_and_ends_what_is_left_behind) {
  shell("(setsid sleep 1234 >/dev/null 2>&1 &) ; sleep 0.2; echo $(pgrep -f 'sleep 1234')");
  const Ended ended = run();
  ASSERT_TRUE(ended.report);
  ASSERT_EQ(ended.report->job.leftovers.size(), 1u);
  EXPECT_EQ(ended.report->job.leftovers[0].name, "sleep");
  EXPECT_EQ(::kill(ended.report->job.leftovers[0].pid, 0), -1);
}

TEST_F(WitnessOfAction, ends_what_uses_too_much) {
  const Limits none = order_.limits;
  order_.limits.output_bytes = 1000;
  shell("yes");
  Ended ended = run();
  ASSERT_TRUE(ended.report);
  EXPECT_EQ(ended.report->ended_for, EndedFor::output);
  EXPECT_EQ(ended.out.size(), 1000u);

  order_.limits = none;
  order_.limits.cpu_time = std::chrono::milliseconds(200);
  shell("while :; do :; done");
  EXPECT_EQ(run().report->ended_for, EndedFor::cpu_time);

  order_.limits = none;
  order_.limits.pids = 8;
  shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; wait");
  EXPECT_EQ(run().report->ended_for, EndedFor::pids);

  order_.limits = none;
  order_.limits.memory_bytes = 32u << 20;
  order_.argv = {"dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"};
  EXPECT_EQ(run().report->ended_for, EndedFor::memory);
}

TEST_F(WitnessOfAction, keeps_what_the_job_reports) {
  order_.reports = true;
  shell("echo begun >&3; head -c 200000 /dev/zero >&3; echo end >&3");
  ASSERT_TRUE(run().report);
  EXPECT_EQ(text_of(root_ / ".casemate/reports"), "begun\n" + std::string(200'000, '\0') + "end\n");
}

TEST_F(WitnessOfAction, finds_what_changed) {
  const fs::path app = root_ / "app";
  fs::create_directories(app / "dir/sub");
  fs::create_directories(app / "gone/deep");
  for (const char* name : {"same", "changed", "removed", "dir/sub/x", "gone/y", "gone/deep/z", "becomes"})
    std::ofstream(app / name) << name;
  order_.cwd = app;
  order_.collect = {app};
  shell(
      "echo after > changed; rm removed; rm -r gone; mkdir new; echo n > new/n; ln -s /etc/passwd new/link; echo more >> dir/sub/x; "
      "rm becomes; mkdir becomes; echo i > becomes/i; mkfifo pipe; cat same > /dev/null; echo secret > locked; chmod 000 locked");
  const Ended ended = run();
  ASSERT_TRUE(ended.report) << ended.report.error().what;
  std::vector<std::string> lines;
  std::istringstream said(changes(*ended.report));
  for (std::string line; std::getline(said, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  const std::vector<std::string> wanted = {"0 becomes/i", "0 changed", "0 dir/sub/x", "0 locked",
                                           "0 new/n",     "1 becomes", "1 new",       "2 new/link -> /etc/passwd",
                                           "3 pipe",      "6 gone",    "6 removed"};
  EXPECT_EQ(lines, wanted);
  for (const ChangedPath& change : ended.report->changes) {
    if (change.path != "changed" && change.path != "locked") continue;
    EXPECT_EQ(text_of(root_ / ".casemate/changes" / std::to_string(change.number)), change.path == "changed" ? "after\n" : "secret\n");
    EXPECT_EQ(change.mode, change.path == "changed" ? 0644u : 0u);
    EXPECT_EQ(change.same_mode, change.path == "changed");
  }
}

// Whatever lies under the result's name, or in place of its directory, before the job ends.
TEST_F(WitnessOfAction, is_the_only_one_to_tell_the_result) {
  const fs::path outside = root_.string() + ".outside";
  for (const std::string& line :
       {std::string("mkdir -p .casemate/result/x; exit 5"), "ln -s " + outside.string() + " .casemate/result; exit 5",
        std::string("rm -r .casemate; exit 5"), std::string("rm -r .casemate; echo forged > .casemate; exit 5"),
        "rm -r .casemate; mkdir " + outside.string() + "; ln -s " + outside.string() + " .casemate; exit 5",
        std::string("mkdir .casemate/changes; ln -s /etc .casemate/changes/1; chmod 000 .casemate; exit 5")}) {
    SCOPED_TRACE(line);
    shell(line);
    const Ended ended = run();
    ASSERT_TRUE(ended.report) << ended.report.error().what;
    EXPECT_EQ(ended.report->job.exit_status, 5);
    EXPECT_FALSE(fs::is_symlink(root_ / ".casemate"));
    EXPECT_FALSE(fs::exists(outside / "result"));
    fs::remove_all(outside);
    fs::remove_all(root_ / ".casemate");
    fs::create_directory(root_ / ".casemate");
  }
}

// An action whose witness was killed ends with a code that no witness gives.
TEST_F(WitnessOfAction, killed_says_nothing) {
  shell("kill -9 $PPID; sleep 0.1");
  const Ended ended = run();
  EXPECT_FALSE(ended.report);
  EXPECT_TRUE(WIFSIGNALED(ended.status));
}

TEST_F(WitnessOfAction, can_not_be_looked_into) {
  shell(
      "cat /proc/$PPID/environ 2>&1 | head -c 0; cat /proc/$PPID/mem >/dev/null 2>&1 && echo open; ls /proc/$PPID/fd >/dev/null 2>&1 && "
      "echo fds; true");
  if (::geteuid() == 0) GTEST_SKIP() << "root may look into anything";
  EXPECT_EQ(run().out, "");
}

}  // namespace
}  // namespace casemate
