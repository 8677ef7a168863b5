// What the first process of a container sees and tells, without a container: as the first process of a pid namespace of the test's own,
// and how its lines are found in a stream that somebody else writes too.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "witness/witness.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

constexpr const char* kToken = "t0k3n";

/// The program of the containers, with the objects that the tests are linked with: run here it may count the lines that it runs.
const std::string& witness() {
  static const std::string kPath = CASEMATE_BINARY_DIR "/bin/witness_of_tests";
  return kPath;
}

class Witness : public testing::Test {
 protected:
  struct Ended {
    int status = -1;  ///< of the first process of the namespace; 128 + n for a signal
    std::string out, err;
    WitnessReport report;
    std::vector<std::string> lines;
  };

  void SetUp() override {
    char name[] = "/tmp/casemate-witness.XXXXXX";
    ASSERT_TRUE(::mkdtemp(name));
    directory_ = name;
    if (start({"true"}).status != 0) GTEST_SKIP() << "no pid namespace may be made here";
  }
  void TearDown() override { fs::remove_all(directory_); }

  /// Runs `command` as the first process of pid, mount and network namespaces, with `input` as its stdin.
  Ended start(const std::vector<std::string>& command, const std::string& input = "/dev/null") {
    std::vector<std::string> words = {"unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount", "--mount-proc", "--net"};
    if (::geteuid() != 0) words.insert(words.begin() + 1, {"--user", "--map-root-user"});
    words.insert(words.end(), command.begin(), command.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::open(input.c_str(), O_RDONLY), 0);
      ::dup2(::open((directory_ / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
      ::dup2(::open((directory_ / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
      ::execvp(argv[0], argv.data());
      ::_exit(127);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    Ended ended;
    ended.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    const auto said = [&ended](std::string_view line) {
      ended.lines.emplace_back(line);
      ended.report.hear(line);
    };
    for (const auto& [file, text] : {std::pair("out", &ended.out), std::pair("err", &ended.err)}) {
      std::ostringstream bytes;
      bytes << std::ifstream(directory_ / file).rdbuf();
      WitnessReader reader(kToken, [text](std::string_view some) { *text += some; }, said);
      reader.feed(bytes.str());
      reader.end();
    }
    return ended;
  }
  /// The same for the witness in this mode around a line of the shell.
  Ended shell(const std::string& mode, const std::string& line, const std::string& profile = "plain") {
    return start({witness(), mode, kToken, profile, "/bin/sh", "-c", line});
  }
  /// A file of the directory, as a word of the shell.
  std::string file(const std::string& name) const { return (directory_ / name).string(); }

  /// Shell: the last job in the background has become sleep(1).
  static std::string until_it_sleeps() { return "until grep -q sleep /proc/$!/comm; do :; done; "; }

  fs::path directory_;
};

TEST_F(Witness, tells_how_a_job_ended_and_what_it_took) {
  const Ended ended = shell("job", "echo out; echo err >&2; exit 3");
  EXPECT_EQ(std::tuple(ended.status, ended.out, ended.err), std::tuple(3, "out\n", "err\n"));
  ASSERT_EQ(ended.lines.size(), 1u);
  EXPECT_EQ(ended.report.exit_status, 3);
  EXPECT_TRUE(ended.report.ended);
  EXPECT_GT(ended.report.wall_us, 0u);
  EXPECT_GT(ended.report.minor_faults, 0u);
  EXPECT_GT(ended.report.peak_memory_bytes.value_or(0), 0u);
  EXPECT_FALSE(ended.report.signal || ended.report.exec_errno || ended.report.disk_full);
  EXPECT_TRUE(ended.report.leftovers.empty());
}

TEST_F(Witness, tells_a_signal_from_a_status) {
  const Ended killed = shell("job", "kill -KILL $$");
  EXPECT_EQ(std::tuple(killed.status, killed.report.signal), std::tuple(137, SIGKILL));
  EXPECT_FALSE(killed.report.exit_status);
  const Ended left = shell("job", "exit 137");
  EXPECT_EQ(std::tuple(left.status, left.report.exit_status), std::tuple(137, 137));
  EXPECT_FALSE(left.report.signal);
}

TEST_F(Witness, tells_why_a_program_can_not_be_executed) {
  std::ofstream(directory_ / "text") << "no program";
  const auto why = [this](const std::string& program) {
    const Ended ended =
        start({"env", "PATH=" + directory_.string() + "::/nowhere:" + file("text"), witness(), "job", kToken, "plain", program});
    EXPECT_FALSE(ended.report.exit_status) << program;
    EXPECT_TRUE(ended.report.ended) << program;
    return std::tuple(ended.report.exec_errno, ended.status);
  };
  EXPECT_EQ(why("/no/such/program"), std::tuple(ENOENT, 127));
  EXPECT_EQ(why("casemate-has-no-such-program"), std::tuple(ENOENT, 127));
  EXPECT_EQ(why(file("text")), std::tuple(EACCES, 126));
  EXPECT_EQ(why("text"), std::tuple(EACCES, 126)) << "there, but not to be executed: as the shell says it";
  fs::permissions(directory_ / "text", fs::perms::owner_all);
  EXPECT_EQ(why("text"), std::tuple(ENOEXEC, 126));
}

TEST_F(Witness, finds_programs_without_a_path) {
  const Ended ended = start({"env", "-u", "PATH", witness(), "job", kToken, "plain", "sh", "-c", "exit 4"});
  EXPECT_EQ(ended.report.exit_status, 4);
}

TEST_F(Witness, names_who_is_left_and_ends_them) {
  const Ended ended = shell("job", "sleep 1000 & " + until_it_sleeps() + "exec sleep 0");
  EXPECT_EQ(ended.status, 0);
  ASSERT_EQ(ended.report.leftovers.size(), 1u);
  EXPECT_EQ(ended.report.leftovers[0].name, "sleep");
  EXPECT_GT(ended.report.leftovers[0].pid, 1);
  const Ended many = shell("job", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1000 & done; exit 0");
  EXPECT_EQ(many.report.leftovers.size(), 16u);
}

TEST_F(Witness, reaps_and_passes_signals_on) {
  const Ended ended = shell("job", "trap 'exit 5' TERM; (sleep 0 & exec true); kill -TERM 1; while :; do sleep 0.01; done");
  EXPECT_EQ(ended.report.exit_status, 5);
}

TEST_F(Witness, takes_variables_away_and_holds_the_strict_profile) {
  const Ended ended = start({"env", "GONE=1", "ALSO=2", "KEPT=3", witness(), "command", kToken, "strict,GONE,ALSO", "/bin/sh", "-c",
                             "echo $GONE$ALSO$KEPT; grep Seccomp: /proc/self/status"});
  EXPECT_EQ(std::tuple(ended.report.exit_status, ended.out), std::tuple(0, "3\nSeccomp:\t2\n")) << ended.err;
}

TEST_F(Witness, of_a_command_tells_its_session_and_leaves_what_is_left) {
  // Its first process is a shell, as where another one holds the container.
  const Ended ended = start({"sh", "-c",
                             "sleep 1000 & " + until_it_sleeps() + witness() + " command " + kToken + " plain sh -c 'sleep 2000 & " +
                                 until_it_sleeps() + "echo $$; exit 6'; echo after=$?; grep -l sleep /proc/[0-9]*/comm | wc -l"});
  EXPECT_EQ(ended.report.exit_status, 6);
  ASSERT_TRUE(ended.report.started);
  EXPECT_EQ(ended.out, std::to_string(*ended.report.started) + "\nafter=6\n2\n");
  ASSERT_EQ(ended.report.leftovers.size(), 1u) << "who was there before is not the command's";
  EXPECT_EQ(ended.report.leftovers[0].name, "sleep");
  EXPECT_EQ(ended.lines.front(), "") << "stdout ends with a line too";
  ASSERT_EQ(ended.lines.size(), 3u);
}

TEST_F(Witness, on_a_terminal_is_its_sessions_leader) {
  const Ended ended =
      start({"script", "-qec", witness() + " command " + kToken + " plain /bin/sh -c 'test -t 0 && echo tty; exit 4'", "/dev/null"});
  EXPECT_EQ(ended.report.exit_status, 4) << ended.out << ended.err;
  EXPECT_EQ(ended.out, "tty\r\n");
  ASSERT_TRUE(ended.report.started);
  EXPECT_LT(*ended.report.started, 0);
}

TEST_F(Witness, says_that_a_disk_is_full) {
  const std::string job = witness() + " job " + kToken + " plain true";
  const Ended room = start({"sh", "-c", "mount -t tmpfs -o size=64k room /mnt && exec " + job});
  EXPECT_EQ(std::tuple(room.report.exit_status, room.report.disk_full), std::tuple(0, false)) << room.err;
  const Ended full =
      start({"sh", "-c", "mount -t tmpfs -o size=64k full /mnt && { cat /dev/zero >/mnt/all 2>/dev/null; exec " + job + "; }"});
  EXPECT_EQ(std::tuple(full.report.exit_status, full.report.disk_full), std::tuple(0, true)) << full.err;
}

TEST_F(Witness, holds_until_its_input_ends) {
  EXPECT_EQ(start({witness(), "hold", kToken}).status, 0);
  // While it does, its children are nobody's zombies.
  const Ended ended =
      start({"sh", "-c",
             "mkfifo " + file("in") + "; (sleep 0 & sleep 0 & exec 9>" + file("in") + "; " +
                 "until ! grep -l '^State:.Z' /proc/[0-9]*/status; do sleep 0.01; done >/dev/null 2>&1; echo none) & exec " + witness() +
                 " hold " + kToken + " <" + file("in")});
  EXPECT_EQ(std::tuple(ended.status, ended.out), std::tuple(0, "none\n")) << ended.err;
}

TEST_F(Witness, signals_a_session) {
  const std::string session =
      "setsid sh -c 'sleep 1000 & >" + file("ready") + "; wait' & until [ -e " + file("ready") + " ]; do sleep 0.01; done; ";
  const auto after = [&](const std::string& words) {
    return start({"sh", "-c", session + witness() + " signal " + words + "; echo told=$?; wait $!; echo $?"}).out;
  };
  EXPECT_EQ(after("15 $!"), "told=0\n143\n");
  fs::remove(directory_ / "ready");
  EXPECT_EQ(after("9 $!"), "told=0\n137\n");
  fs::remove(directory_ / "ready");
  EXPECT_EQ(after("9 -$!"), "told=0\n0\n") << "its leader is the witness, and spared: it sees its child end";
  EXPECT_EQ(start({witness(), "signal", "9", "99999"}).status, 0) << "a session that nobody is in";
}

TEST_F(Witness, knows_no_other_words) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{}, {"dance"}, {"job", "t"}, {"job", "t", "plain"}, {"signal", "9"}}) {
    std::vector<std::string> command = {witness()};
    command.insert(command.end(), words.begin(), words.end());
    EXPECT_EQ(start(command).status, 125);
  }
}

// ---- its lines in a stream

struct Heard {
  std::string output;
  std::vector<std::string> lines;
};

Heard heard(std::string_view stream, std::size_t piece) {
  Heard result;
  WitnessReader reader(
      "t", [&result](std::string_view some) { result.output += some; },
      [&result](std::string_view line) { result.lines.emplace_back(line); });
  for (std::size_t at = 0; at < stream.size(); at += piece) reader.feed(stream.substr(at, piece));
  reader.end();
  return result;
}

TEST(WitnessLines, are_found_however_the_stream_arrives) {
  const std::string zero(1, '\0'), mark = zero + "casemate-t ";
  const std::string stream = "one" + mark + "exit=1\n" + zero + "two" + mark + "end\r\n" + zero + zero + "casemate-x end\n" + mark +
                             "\nthree" + zero + "casemate-";
  for (const std::size_t piece : {1ul, 2ul, 5ul, stream.size()}) {
    const Heard all = heard(stream, piece);
    EXPECT_EQ(all.output, "one" + zero + "two" + zero + zero + "casemate-x end\nthree" + zero + "casemate-") << piece;
    EXPECT_EQ(all.lines, (std::vector<std::string>{"exit=1", "end", ""})) << piece;
  }
}

TEST(WitnessLines, that_have_no_end_are_not_kept) {
  const std::string begun = std::string(1, '\0') + "casemate-t ";
  EXPECT_EQ(heard(begun + "exit=1", 4).lines, std::vector<std::string>());
  EXPECT_EQ(heard(begun + "exit=1", 4).output, "");
  const Heard longest = heard(begun + std::string(1 << 20, 'x'), 4096);
  EXPECT_EQ(longest.output, "");
  EXPECT_TRUE(longest.lines.empty());
}

TEST(WitnessLines, of_a_hostile_container_are_bounded_and_printable) {
  WitnessReport report;
  report.hear(
      "exit=511 signal=300 exec=99999 started=-x left=7:1b5b left=8 left=9:zz left=10:ZZ what=ever wall=1e9 memory= pids end=no  full");
  EXPECT_EQ(std::tuple(report.exit_status, report.signal, report.exec_errno), std::tuple(255, 300 & 0x7f, 99999 & 0xfff));
  EXPECT_EQ(std::tuple(report.started, report.wall_us, report.peak_memory_bytes, report.peak_pids), std::tuple(0, 1u, 0u, 0u));
  EXPECT_TRUE(report.ended && report.disk_full);
  ASSERT_EQ(report.leftovers.size(), 1u);
  EXPECT_EQ(std::tuple(report.leftovers[0].pid, report.leftovers[0].name), std::tuple(7, "\\x1b["));
  for (int i = 0; i < 40; ++i) report.hear("left=1:" + std::string(400, '6'));
  EXPECT_EQ(report.leftovers.size(), 16u);
  EXPECT_EQ(report.leftovers.back().name, std::string(15, 'f'));
}

}  // namespace
}  // namespace casemate
