// The words that make a session of commands, by the shells that are here. What they keep lies in /dev/shm, under names of this process.
#include "testplan/shell_state.h"

#include <csignal>
#include <filesystem>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

struct Said {
  int status = -1;  ///< exit status, or 128 + signal
  std::string out, err;
};

class ShellStateTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (::access(GetParam().c_str(), X_OK) != 0) GTEST_SKIP() << GetParam() << " is not installed";
    char name[] = "/tmp/casemate-shell-state-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    session_ = fmt::format("test-{}", ::getpid());
  }
  void TearDown() override {
    if (directory_.empty()) return;
    fs::remove_all(directory_);
    for (const auto& entry : fs::directory_iterator("/dev/shm"))
      if (entry.path().filename().string().starts_with(".casemate-" + session_)) fs::remove(entry.path());
  }
  Said run(const std::string& command, const std::map<std::string, std::string>& environment = {}) {
    ContextCommand made = in_session(command, GetParam(), session_, environment);
    made.env.insert({{"PATH", "/usr/bin:/bin"}, {"FROM_JOB", "job"}});
    std::vector<char*> argv;
    for (std::string& word : made.argv) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> lines;
    for (const auto& [name, value] : made.env) lines.push_back(name + "=" + value);
    std::vector<char*> env;
    for (std::string& line : lines) env.push_back(line.data());
    env.push_back(nullptr);
    const std::string out = directory_ + "/.out", err = directory_ + "/.err";
    const pid_t child = ::fork();
    if (child == 0) {
      for (const auto& [fd, path] : {std::pair(1, out), std::pair(2, err)})
        ::dup2(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), fd);
      ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
      if (::chdir(directory_.c_str()) == 0) ::execve(argv[0], argv.data(), env.data());
      ::_exit(127);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out).value(), read_file(err).value()};
  }
  // What a command prints; it says nothing on stderr and ends well.
  std::string out(const std::string& command, const std::map<std::string, std::string>& environment = {}) {
    const Said said = run(command, environment);
    EXPECT_EQ(said.status, 0) << command;
    EXPECT_EQ(said.err, "") << command;
    return said.out;
  }
  std::string directory_, session_;
};

TEST_P(ShellStateTest, directory_and_exported_variables_go_on) {
  out("mkdir -p 'a b/c'; cd 'a b/c'; export X='1 2\n$HOME`\"'\"'\"; Y=not");
  EXPECT_EQ(out("pwd; printf '%s|%s' \"$X\" \"${Y-unset}\""), directory_ + "/a b/c\n1 2\n$HOME`\"'|unset");
  out("unset X; cd ..");
  EXPECT_EQ(out("pwd; echo \"${X-unset} $FROM_JOB\""), directory_ + "/a b\nunset job\n");
  out("export PATH=$PATH:/opt/x; unset FROM_JOB");
  EXPECT_EQ(out("echo \"$PATH\""), "/usr/bin:/bin:/opt/x\n");
}

TEST_P(ShellStateTest, the_status_is_the_commands_and_the_state_is_kept_all_the_same) {
  EXPECT_EQ(run("export A=1; false").status, 1);
  EXPECT_EQ(run("export B=1; exit 7").status, 7);
  EXPECT_EQ(run("set -e; export C=1; false; true").status, 1);
  EXPECT_EQ(run("set -u; export D=1; echo $nothing").status == 0, false);
  EXPECT_EQ(run("set -a; E=1; IFS=0123456789; exit 42").status, 42);
  EXPECT_EQ(run("trap 'echo bye' EXIT; export F=1").out, "bye\n");
  EXPECT_EQ(run("export G=1; (exit 3); (exit 4)").status, 4);
  EXPECT_EQ(out("echo $A$B$C$D$E$F$G"), "1111111\n");
  EXPECT_EQ(out("env | grep -c ^casemate || :"), "0\n");
}

TEST_P(ShellStateTest, a_command_that_is_no_shell_language_fails_alone) {
  out("cd /usr; export X=1");
  for (const char* broken : {"echo 'never closed", "if true", "$(", ")", "}", "case"}) {
    const Said said = run(broken);
    EXPECT_NE(said.status, 0) << broken;
    EXPECT_NE(said.err, "") << broken;
  }
  EXPECT_EQ(out("echo $PWD$X"), "/usr1\n");
}

TEST_P(ShellStateTest, a_steps_own_variables_are_gone_afterwards) {
  out("export X=before");
  EXPECT_EQ(out("echo \"$X|$Y\"; export Z=$X", {{"X", "it's\n\"$1\""}, {"Y", ""}, {"no-name", "v"}}), "it's\n\"$1\"|\n");
  EXPECT_EQ(out("echo \"$X|${Y-unset}|$Z\""), "before|unset|it's\n\"$1\"\n");
  EXPECT_EQ(out("echo ${#LONG} ${#LONGER}", {{"LONG", std::string(100'000, 'x')}, {"LONGER", std::string(100'001, '\'')}}),
            "100000 100001\n");
  EXPECT_EQ(out("echo ${LONG-unset}; env | grep -c ^casemate || :", {{"Y", "own"}}), "unset\n0\n");
  out("export X=changed; unset Y", {{"X", "own"}, {"Y", "own"}});
  EXPECT_EQ(out("echo \"$X|${Y-unset}\""), "before|unset\n");
}

TEST_P(ShellStateTest, tracing_shows_only_the_command) {
  const Said said = run("set -x; echo hi");
  EXPECT_EQ(said.out, "hi\n");
  EXPECT_EQ(said.err.find("casemate"), std::string::npos) << said.err;
  EXPECT_EQ(out("echo quiet"), "quiet\n");
}

TEST_P(ShellStateTest, a_directory_that_has_gone_is_the_contexts_own) {
  out("mkdir gone; cd gone; rmdir ../gone");
  EXPECT_EQ(out("pwd"), directory_ + "\n");
}

TEST_P(ShellStateTest, state_that_can_not_be_kept_is_told) {
  out("export X=kept; cd /usr");
  const std::string file = "/dev/shm/.casemate-" + session_;
  out(fmt::format("mkfifo {0}.new", file));
  EXPECT_EQ(out("echo $X; export Y=kept"), "kept\n");
  EXPECT_EQ(out("echo $PWD $X $Y"), "/usr kept kept\n");
  const Said replaced = run(fmt::format("rm {0}; mkfifo {0}; exit 3", file));
  EXPECT_EQ(replaced.status, 3);
  const Said without = run("echo ${X-lost}; export X=new");
  EXPECT_EQ(without.out, "lost\n");
  EXPECT_NE(without.err.find("can not be kept in " + file), std::string::npos) << without.err;
  EXPECT_EQ(out("echo $X"), "new\n");
  const Said directory = run(fmt::format("rm {0}; mkdir {0}; export X=newer", file));
  EXPECT_NE(directory.err.find("can not be kept in " + file), std::string::npos) << directory.err;
  fs::remove_all(file);
}

TEST_P(ShellStateTest, signals_exec_and_closed_outputs) {
  out("export X=1");
  EXPECT_EQ(run("kill -9 $$").status, 128 + SIGKILL);
  EXPECT_EQ(run("exec sh -c 'exit 5'").status, 5);
  EXPECT_EQ(run("export X=2; exec >&- 2>&-; exit 6").status, 6);
  EXPECT_EQ(out("echo $X; exec <&-"), "2\n");
}

TEST_P(ShellStateTest, needs_of_the_context) {
  using Kind = PlanDependency::Kind;
  const auto status = [&](std::vector<PlanDependency> needs) { return run(check_needs(needs, 0)).status; };
  out("echo x > 'a file'; export SET=");
  EXPECT_EQ(status({{Kind::file, "", "a file"}, {Kind::environment, "", "SET"}, {Kind::command, "", "sh"}}), 0);
  EXPECT_EQ(status({{Kind::file, "", "/"}, {Kind::file, "", "b file"}}), kFirstMissing + 1);
  EXPECT_EQ(status({{Kind::environment, "", "SET"}, {Kind::environment, "", "x}; exit 0; {"}}), kFirstMissing + 1);
  EXPECT_EQ(status({{Kind::environment, "", "UNSET"}}), kFirstMissing);
  EXPECT_EQ(status({{Kind::command, "", "no such; exit 0"}}), kFirstMissing);
  EXPECT_EQ(status({{Kind::service, "", "1"}}), kFirstMissing);
  EXPECT_EQ(status({{Kind::service, "", "no port"}}), kFirstMissing);

  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(status({{Kind::service, "", port}}), kFirstMissing) << "bound, and does not listen";
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  for (const char* host : {"", "127.0.0.1:", "localhost:"}) EXPECT_EQ(status({{Kind::service, "", host + port}}), 0) << host;
  EXPECT_EQ(status({{Kind::service, "", "127.0.0.9:" + port}}), kFirstMissing);
}

TEST_P(ShellStateTest, files_are_seen_from_where_the_command_began_and_where_it_ended) {
  out("mkdir d; cd d; echo x > -in; echo y > ../out");
  EXPECT_EQ(out(check_files({"-in", "d/-in", "out", "nothing", "/dev/null", "it's; echo 1"})), "111010");
  out("cd ..");
  out("true");
  EXPECT_EQ(out(check_files({"-in", "d/-in", "out"})), "011") << "a command that stayed began where it ended";
}

TEST_P(ShellStateTest, a_service_that_ends_at_once_is_told_with_its_output) {
  const Said said = run(as_service("echo no; exit 9", {}, session_ + "-s"));
  EXPECT_EQ(said.status, 9);
  EXPECT_EQ(said.err, "no\n");
  EXPECT_EQ(run(as_service("exit 0", {}, session_ + "-s")).status, 0) << "it went to the background by itself";
  const Said waits = run(as_service("exit 3", {"1"}, session_ + "-s"));
  EXPECT_EQ(waits.status, 3) << "nothing listens, and nothing will";
}

TEST_P(ShellStateTest, what_a_service_has_written_is_there_while_it_runs) {
  const std::string name = session_ + "-s";
  EXPECT_EQ(run(as_service("echo begun; while [ ! -e go ]; do sleep 0.05; done; echo err >&2; exit 5", {}, name)).status, 0);
  out("while [ ! -s /dev/shm/.casemate-" + name + ".out ]; do sleep 0.05; done");
  EXPECT_EQ(out(service_output(name)), "\nbegun\n");
  out("touch go; while [ ! -e /dev/shm/.casemate-" + name + ".whole ]; do sleep 0.05; done");
  EXPECT_EQ(out(service_output(name)), "5\nbegun\nerr\n");
}

INSTANTIATE_TEST_SUITE_P(Shells, ShellStateTest, testing::Values("/bin/sh", "/bin/bash"),
                         [](const auto& info) { return std::to_string(info.index); });

}  // namespace
}  // namespace casemate
