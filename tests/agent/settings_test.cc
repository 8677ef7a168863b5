#include "apps/agent/settings.h"

#include <cstdlib>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace casemate {
namespace {

using Words = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const std::string kRepository = "https://host/tests.git";

class AgentSettingsTest : public ::testing::Test {
 protected:
  void SetUp() override { ::unsetenv(kPasswordVariable); }
  void TearDown() override { ::unsetenv(kPasswordVariable); }
};

AgentSettings read(Words words) {
  words.insert(words.end(), {"--tests-repo", kRepository});
  auto parsed = parse_agent_arguments(words);
  EXPECT_TRUE(parsed) << parsed.error().what;
  return parsed ? parsed->settings : AgentSettings{};
}

std::string problem_of(Words words) {
  words.insert(words.end(), {"--tests-repo", kRepository});
  const auto parsed = parse_agent_arguments(words);
  EXPECT_FALSE(parsed);
  return parsed ? "" : parsed.error().what;
}

TEST_F(AgentSettingsTest, defaults_are_those_of_the_contract) {
  const AgentSettings settings = read({});
  EXPECT_EQ(settings.backend_url, "http://localhost:5000");
  EXPECT_EQ(settings.concurrent, 2u);
  EXPECT_EQ(settings.check_interval, seconds(5));
  EXPECT_EQ(settings.check_proc_interval, milliseconds(100));
  EXPECT_EQ(settings.timeout, seconds(600));
  EXPECT_EQ(settings.proxy_timeout, seconds(10));
  EXPECT_EQ(settings.get_api, "/api/task/available");
  EXPECT_EQ(settings.post_api, "/api/task/result");
  EXPECT_EQ(settings.login_api, "/api/v1/login");
  EXPECT_EQ(settings.token_refresh_api, "/api/v1/auth/refresh");
  EXPECT_EQ(settings.refresh_time, seconds(60));
  EXPECT_EQ(settings.login, "dora_explorer");
  EXPECT_EQ(settings.password, "dora_explorer");
  EXPECT_FALSE(settings.auth);
  EXPECT_EQ(settings.logger_level, LogLevel::error);
  EXPECT_EQ(settings.logger_output, "");
  EXPECT_EQ(settings.limits, default_agent_limits());
  EXPECT_EQ(settings.tests_command, (Words{"python", "run_tests.py"}));
}

TEST_F(AgentSettingsTest, every_flag_of_the_runner_is_read) {
  const AgentSettings settings = read({"--mock",
                                       "--backend-url",
                                       "https://labs.example.edu:8443/base/",
                                       "--concurrent",
                                       "3",
                                       "--check-interval",
                                       "0.5",
                                       "--check-proc-interval=0.2",
                                       "--timeout",
                                       "0",
                                       "--proxy-timeout",
                                       "2.5",
                                       "--get-api",
                                       "/g",
                                       "--post-api",
                                       "/p",
                                       "--login-api",
                                       "/l",
                                       "--token-refresh-api",
                                       "r",
                                       "--refresh-time",
                                       "2m",
                                       "--login",
                                       "x",
                                       "--password",
                                       "y z",
                                       "--auth",
                                       "--logger-level",
                                       "debug",
                                       "--logger-output",
                                       ""});
  EXPECT_TRUE(settings.mock);
  EXPECT_EQ(settings.backend_url, "https://labs.example.edu:8443/base");
  EXPECT_EQ(settings.concurrent, 3u);
  EXPECT_EQ(settings.check_interval, milliseconds(500));
  EXPECT_EQ(settings.check_proc_interval, milliseconds(200));
  EXPECT_EQ(settings.timeout, milliseconds(0));
  EXPECT_EQ(settings.proxy_timeout, milliseconds(2500));
  EXPECT_EQ(settings.get_api, "/g");
  EXPECT_EQ(settings.post_api, "/p");
  EXPECT_EQ(settings.login_api, "/l");
  EXPECT_EQ(settings.token_refresh_api, "/r");
  EXPECT_EQ(settings.refresh_time, minutes(2));
  EXPECT_EQ(settings.login, "x");
  EXPECT_EQ(settings.password, "y z");
  EXPECT_TRUE(settings.auth);
  EXPECT_EQ(settings.logger_level, LogLevel::debug);
}

TEST_F(AgentSettingsTest, every_flag_of_ours_is_read) {
  const AgentSettings settings = read({"--tests-command",
                                       "python3 'my tests.py' --fast",
                                       "--image",
                                       "docker://python:3.12-slim",
                                       "--isolation",
                                       "test",
                                       "--slots",
                                       "4",
                                       "--memory",
                                       "512M",
                                       "--cpus",
                                       "1.5",
                                       "--pids",
                                       "64",
                                       "--disk",
                                       "0",
                                       "--strict-skips",
                                       "--clone-network",
                                       "host",
                                       "--allow-file-urls",
                                       "--wire",
                                       "b",
                                       "--ca-file",
                                       "/ca.pem",
                                       "--once",
                                       "--json-log",
                                       "--metrics",
                                       "9464",
                                       "--state-dir",
                                       "/state",
                                       "--keep-tasks",
                                       "7"});
  EXPECT_EQ(settings.tests_repo, kRepository);
  EXPECT_EQ(settings.tests_revision, "");
  EXPECT_EQ(settings.tests_command, (Words{"python3", "my tests.py", "--fast"}));
  EXPECT_EQ(settings.image, "docker://python:3.12-slim");
  EXPECT_EQ(settings.isolation, "test");
  EXPECT_EQ(settings.slots, 4u);
  EXPECT_EQ(settings.limits.memory_bytes, 512u << 20);
  EXPECT_EQ(settings.limits.cpus, 1.5);
  EXPECT_EQ(settings.limits.pids, 64u);
  EXPECT_EQ(settings.limits.disk_bytes, std::nullopt);
  EXPECT_EQ(settings.limits.disk_inodes, std::nullopt);
  EXPECT_TRUE(settings.strict_skips);
  EXPECT_EQ(settings.clone_network, Network::host);
  EXPECT_TRUE(settings.allow_file_urls);
  EXPECT_EQ(settings.wire, WireForm::uuid);
  EXPECT_EQ(settings.ca_file, "/ca.pem");
  EXPECT_TRUE(settings.once);
  EXPECT_TRUE(settings.json_log);
  EXPECT_EQ(settings.metrics, "127.0.0.1:9464");
  EXPECT_EQ(settings.state_directory, "/state");
  EXPECT_EQ(settings.keep_tasks, 7u);
  EXPECT_EQ(read({"--image", "host"}).image, "");
  EXPECT_EQ(read({"--metrics", "[::1]:80"}).metrics, "[::1]:80");
  EXPECT_EQ(read({"--metrics", "0.0.0.0:80"}).metrics, "0.0.0.0:80");
}

TEST_F(AgentSettingsTest, options_may_be_shortened_as_argparse_does) {
  EXPECT_TRUE(read({"-auth"}).auth);
  EXPECT_TRUE(read({"--a"}).auth);  // unambiguous among the runner's, whatever we added
  EXPECT_EQ(read({"--backend=http://h"}).backend_url, "http://h");
  EXPECT_EQ(read({"--pass=x"}).password, "x");
  EXPECT_EQ(read({"--login", "me"}).login, "me");  // exact, though --login-api begins with it
  EXPECT_TRUE(read({"--json"}).json_log);
  const std::string ambiguous = problem_of({"--log", "x"});
  EXPECT_EQ(ambiguous, "ambiguous option: --log could match --login-api, --login, --logger-level, --logger-output");
}

TEST_F(AgentSettingsTest, what_makes_no_sense_is_one_line_that_names_it) {
  const std::pair<Words, std::string_view> cases[] = {
      {{"--concurrent", "0"}, "argument --concurrent: '0' is not a whole number from 1 to 1024"},
      {{"--concurrent"}, "argument --concurrent: expected one argument"},
      {{"--timeout", "-1"}, "argument --timeout: '-1' is not a duration"},
      {{"--timeout", "soon"}, "argument --timeout: 'soon' is not a duration"},
      {{"--logger-level", "loud"}, "argument --logger-level: invalid choice: 'loud'"},
      {{"--isolation", "cold"}, "argument --isolation: invalid choice: 'cold' (choose from 'run', 'test', 'class', 'module', 'file')"},
      {{"--wire", "c"}, "argument --wire: invalid choice: 'c'"},
      {{"--backend-url", "localhost:5000"}, "argument --backend-url: 'localhost:5000' is not http://"},
      {{"--backend-url", "https:///path"}, "argument --backend-url: "},
      {{"--metrics", "nowhere"}, "argument --metrics: 'nowhere' is not ADDRESS:PORT"},
      {{"--metrics", "a:70000"}, "argument --metrics: "},
      {{"--metrics", "::1:80"}, "argument --metrics: "},
      {{"--tests-command", " "}, "argument --tests-command: a command can't be empty"},
      {{"--tests-command", "'open"}, "argument --tests-command: "},
      {{"--image", "python:3.12"}, "argument --image: "},
      {{"--memory", "1k"}, "argument --memory: '1k' is too little"},
      {{"--auth=yes"}, "argument --auth: ignored explicit argument"},
      {{"--password-file", "/nonexistent/secret"}, "argument --password-file: "},
      {{"one", "more"}, "unrecognized arguments: one more"},
      {{"--concurent", "3"}, "unrecognized arguments: --concurent; did you mean '--concurrent'?"},
  };
  for (const auto& [words, beginning] : cases) {
    const std::string problem = problem_of(words);
    EXPECT_TRUE(problem.starts_with(beginning)) << problem;
    EXPECT_EQ(problem.find('\n'), std::string::npos);
  }
  const auto none = parse_agent_arguments({});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().what.find("--tests-repo"), std::string::npos);
  EXPECT_TRUE(parse_agent_arguments({"--mock"}));
}

TEST_F(AgentSettingsTest, a_secret_after_a_misspelt_option_is_not_repeated) {
  EXPECT_EQ(problem_of({"--passwrod", "s3cret"}).find("s3cret"), std::string::npos);
  EXPECT_EQ(problem_of({"--passwrod=s3cret"}).find("s3cret"), std::string::npos);
}

TEST_F(AgentSettingsTest, help_and_version_need_nothing_else) {
  using Action = ParsedAgentArguments::Action;
  EXPECT_EQ(parse_agent_arguments({"--help"})->action, Action::help);
  EXPECT_EQ(parse_agent_arguments({"-h"})->action, Action::help);
  EXPECT_EQ(parse_agent_arguments({"--version"})->action, Action::version);
  const std::string help = agent_help("ostest-runner");
  EXPECT_NE(help.find("usage: ostest-runner"), std::string::npos);
  EXPECT_NE(help.find("exit status: "), std::string::npos);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST_F(AgentSettingsTest, a_password_comes_from_the_flag_a_file_or_the_environment) {
  char file[] = "/tmp/casemate-agent-password-XXXXXX";
  const int fd = ::mkstemp(file);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "from file\r\nsecond\n", 18), 18);
  ::close(fd);
  ::setenv(kPasswordVariable, "from environment", 1);
  EXPECT_EQ(read({}).password, "from environment");
  EXPECT_EQ(read({"--password", "from flag"}).password, "from flag");
  EXPECT_EQ(read({"--password-file", file}).password, "from file");
  EXPECT_EQ(problem_of({"--password-file", file, "--password", "x"}), "argument --password-file: not allowed with argument --password");
  ASSERT_EQ(::truncate(file, 0), 0);
  EXPECT_TRUE(problem_of({"--password-file", file}).starts_with("argument --password-file: there is no password on the first line"));
  ::unlink(file);
}

TEST_F(AgentSettingsTest, passwords_are_hidden_from_the_command_line_and_the_environment) {
  Words words = {"agent", "--password", "s3cret", "--pass=s3cret", "--password-file", "kept", "--login", "kept", "--password"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  hide_passwords(static_cast<int>(argv.size()), argv.data());
  EXPECT_EQ(words, (Words{"agent", "--password", "xxxxxx", "--pass=xxxxxx", "--password-file", "kept", "--login", "kept", "--password"}));
  ::setenv(kPasswordVariable, "s3cret", 1);
  const char* const bytes = std::getenv(kPasswordVariable);
  hide_password_variable();
  EXPECT_EQ(std::getenv(kPasswordVariable), nullptr);
  EXPECT_EQ(std::string(bytes), "xxxxxx");
}

TEST_F(AgentSettingsTest, a_repository_may_have_a_revision) {
  const struct {
    std::string_view text, url, revision;
  } cases[] = {
      {"https://host/a/tests.git", "https://host/a/tests.git", ""},
      {"https://host/a/tests.git@v1", "https://host/a/tests.git", "v1"},
      {"https://host/a/tests.git@feature/x", "https://host/a/tests.git", "feature/x"},
      {"https://host/a/tests@v1", "https://host/a/tests", "v1"},
      {"https://user:token@host/a/tests.git", "https://user:token@host/a/tests.git", ""},
      {"https://user:token@host/a/tests.git@v1", "https://user:token@host/a/tests.git", "v1"},
      {"ssh://git@host", "ssh://git@host", ""},
      {"git@host:tests.git", "git@host:tests.git", ""},
      {"git@host:tests.git@v1", "git@host:tests.git", "v1"},
      {"git@host:os/tests@v1", "git@host:os/tests", "v1"},
      {"git@host:os/tests", "git@host:os/tests", ""},
      {"https://host/~me@home/tests", "https://host/~me@home/tests", ""},
      {"/srv/tests@0123abc", "/srv/tests", "0123abc"},
      {"./tests", "./tests", ""},
      {"file:///srv/tests.git@main", "file:///srv/tests.git", "main"},
  };
  for (const auto& one : cases) {
    const auto repository = read_repository_at(one.text);
    ASSERT_TRUE(repository) << one.text;
    EXPECT_EQ(repository->url, one.url) << one.text;
    EXPECT_EQ(repository->revision, one.revision) << one.text;
  }
  EXPECT_FALSE(read_repository_at(""));
  EXPECT_FALSE(read_repository_at("@v1"));
  EXPECT_FALSE(read_repository_at("https://host/tests.git@"));
}

}  // namespace
}  // namespace casemate
