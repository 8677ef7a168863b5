#include "apps/pytest/arguments.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "apps/pytest/settings.h"
#include "session/pytest_words.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;
using Action = PytestRequest::Action;

// A place without any files, and only these variables.
ParsedPytest parse(const Words& arguments, std::string_view program = "casemate pytest",
                   const std::map<std::string, std::string>& variables = {}) {
  const auto look_up = [&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? (name == "XDG_CONFIG_DIRS" ? "/nonexistent" : nullptr) : found->second.c_str();
  };
  return parse_pytest(arguments, program, {"/nonexistent/project", look_up});
}

PytestRequest request(const Words& arguments, std::string_view program = "casemate pytest") {
  ParsedPytest parsed = parse(arguments, program);
  EXPECT_FALSE(parsed.stop) << parsed.text;
  return std::move(parsed.request);
}

std::string problem(const Words& arguments, std::string_view program = "casemate pytest") {
  const ParsedPytest parsed = parse(arguments, program);
  EXPECT_TRUE(parsed.stop);
  EXPECT_EQ(parsed.exit_status, 2) << parsed.text;
  const std::string start = std::string(program) + ": ";
  EXPECT_TRUE(parsed.text.starts_with(start)) << parsed.text;
  EXPECT_EQ(parsed.text.find('\n'), parsed.text.size() - 1) << parsed.text;
  return parsed.text.substr(start.size(), parsed.text.size() - start.size() - 1);
}

TEST(PytestArguments, nothing_said_runs_everything) {
  const PytestRequest plain = request({});
  EXPECT_EQ(plain.action, Action::run);
  EXPECT_EQ(plain.directory, "/nonexistent/project");
  EXPECT_FALSE(plain.as_maelstrom);
  EXPECT_TRUE(plain.include.empty() && plain.exclude.empty() && plain.pytest_arguments.empty() && plain.notes.empty());
  EXPECT_EQ(plain.repeat, 1u);
  EXPECT_EQ(plain.slots, 0u);
  EXPECT_TRUE(plain.immortal);
  EXPECT_FALSE(plain.stop_after || plain.timeout || plain.isolation || plain.retries || plain.image || plain.github);
  EXPECT_TRUE(request({}, "maelstrom-pytest").as_maelstrom);
}

TEST(PytestArguments, all_flags_of_maelstrom) {
  const PytestRequest all = request({"-i",
                                     "file.eq(a)",
                                     "--include",
                                     "all",
                                     "-x",
                                     "none",
                                     "--exclude=name.c(b)",
                                     "-L",
                                     "debug",
                                     "--ui",
                                     "simple",
                                     "-r",
                                     "3",
                                     "-s",
                                     "2",
                                     "-t",
                                     "7",
                                     "--inline-limit",
                                     "1MiB",
                                     "--slots",
                                     "8",
                                     "--collect-from-module",
                                     "m",
                                     "--extra-pytest-args=-v",
                                     "--extra-pytest-args=--tb=short",
                                     "--extra-pytest-collect-args",
                                     "a",
                                     "--accept-invalid-remote-container-tls-certs",
                                     "--",
                                     "--b",
                                     "--"},
                                    "maelstrom-pytest");
  EXPECT_EQ(all.include, (Words{"file.eq(a)", "all"}));
  EXPECT_EQ(all.exclude, (Words{"none", "name.c(b)"}));
  EXPECT_EQ(all.ui, PytestRequest::Ui::simple);
  EXPECT_EQ(all.repeat, 3u);
  EXPECT_EQ(all.stop_after, 2u);
  EXPECT_EQ(all.timeout, 7s);
  EXPECT_EQ(all.inline_limit, 1u << 20);
  EXPECT_EQ(all.slots, 8u);
  EXPECT_EQ(all.collect_from_module, "m");
  EXPECT_EQ(all.pytest_arguments, (Words{"-v", "--tb=short", "-v"}));
  EXPECT_EQ(all.pytest_collect_arguments, Words{"a"});
  EXPECT_EQ(all.pytest_test_arguments, (Words{"--b", "--"}));
  EXPECT_FALSE(all.verify_tls);
  EXPECT_EQ(request({"--loop", "4"}, "maelstrom-pytest").repeat, 4u);
  EXPECT_EQ(request({"--timeout", "0"}).timeout, 0s);
  EXPECT_EQ(request({"--inline-limit", "10 MB"}).inline_limit, 10'000'000u);
  EXPECT_EQ(request({"-b", "1.2.3.4:5", "--cache-size", "1GB", "--container-image-depot-root", "/x"}, "maelstrom-pytest").notes.size(), 3u);
}

TEST(PytestArguments, actions) {
  EXPECT_EQ(request({"--init"}).action, Action::init);
  EXPECT_EQ(request({"-l"}).action, Action::list);
  EXPECT_EQ(request({"--collect-only", "-q"}).action, Action::list);
  EXPECT_EQ(request({"-w"}).action, Action::watch);
  EXPECT_EQ(request({"--watch"}, "maelstrom-pytest").action, Action::watch);
  for (const char* flag : {"-h", "--help", "--version", "-P", "--print-config"}) {
    const ParsedPytest parsed = parse({flag});
    EXPECT_TRUE(parsed.stop && parsed.exit_status == 0 && parsed.text.ends_with('\n')) << flag;
  }
  EXPECT_TRUE(parse({"--version"}, "maelstrom-pytest").text.starts_with("maelstrom-pytest 0.14.0 (casemate "));
}

TEST(PytestArguments, words_of_pytest_mean_what_they_mean_there) {
  const PytestRequest one = request({"tests",
                                     "-k",
                                     "not slow",
                                     "-m",
                                     "a or b",
                                     "-x",
                                     "-vv",
                                     "-s",
                                     "-p",
                                     "no:x",
                                     "-o",
                                     "a=b",
                                     "--tb=short",
                                     "tests/a.py::T::t[1-2]",
                                     "-W",
                                     "error",
                                     "--lf",
                                     "--ff",
                                     "-q",
                                     "--rootdir",
                                     "r",
                                     "--confcutdir=c",
                                     "--durations",
                                     "5",
                                     "--pytest-config",
                                     "p.ini",
                                     "--log-level",
                                     "DEBUG",
                                     "--junitxml=o.xml"});
  EXPECT_EQ(one.pytest_arguments, (Words{"-k", "not slow", "-m", "a or b", "-p", "no:x", "--override-ini=a=b", "--pythonwarnings=error",
                                         "--tb=short", "--rootdir=r", "--confcutdir=c", "--log-level=DEBUG", "--capture=no", "-c", "p.ini",
                                         "-v", "tests", "tests/a.py::T::t[1-2]"}));
  EXPECT_EQ(one.stop_after, 1u);
  EXPECT_TRUE(one.last_failed && one.failed_first);
  EXPECT_EQ(one.verbosity, 1);
  EXPECT_EQ(one.durations, 5u);
  EXPECT_EQ(one.junit_xml, "/nonexistent/project/o.xml");
  EXPECT_EQ(request({"--json-lines", "o.jsonl"}).json_lines, "/nonexistent/project/o.jsonl");
  EXPECT_EQ(request({"--json-lines=-"}).json_lines, kStandardOutput);
  EXPECT_EQ(request({"--junit-xml", "/o.xml"}).junit_xml, "/o.xml");
  EXPECT_EQ(request({"--maxfail=3"}).stop_after, 3u);
  EXPECT_FALSE(request({"--maxfail=0"}).stop_after);
  EXPECT_EQ(request({"-qq"}).verbosity, -2);
  EXPECT_EQ(request({"-k", ""}).pytest_arguments, (Words{"-k", ""}));
  EXPECT_EQ(request({"-kfoo", "-n4"}).pytest_arguments, (Words{"-k", "foo"}));
  EXPECT_EQ(request({"-n", "4"}).slots, 4u);
  EXPECT_EQ(request({"-n", "auto"}).slots, 0u);
  EXPECT_EQ(request({"-nlogical"}).slots, 0u);
  EXPECT_EQ(request({"-n", "0"}).slots, 1u);
  EXPECT_EQ(problem({"--slots", "0"}, "maelstrom-pytest"), "--slots: '0' is not a number from 1 to 1000");
  EXPECT_EQ(request({"[a]"}).pytest_arguments, Words{"[a]"});
  EXPECT_EQ(request({"--color=yes"}).color, "always");
  EXPECT_EQ(request({"--color", "never"}).color, "never");
}

TEST(PytestArguments, options_of_plugins_people_have_are_passed_on) {
  EXPECT_EQ(request({"--cov"}).pytest_arguments, Words{"--cov"});
  EXPECT_EQ(request({"--cov=src", "--cov", "--cov-report=xml", "--cov-report", "html"}).pytest_arguments,
            (Words{"--cov=src", "--cov", "--cov-report=xml", "--cov-report=html"}));
  EXPECT_EQ(request({"--reruns", "2", "--reuse-db", "--nomigrations"}).pytest_arguments,
            (Words{"--reuse-db", "--nomigrations", "--reruns=2"}));
}

TEST(PytestArguments, what_of_pytest_means_nothing_here_is_told_with_what_does_it) {
  EXPECT_EQ(problem({"--pdb"}), "--pdb is pytest's, and needs one process at a terminal: run 'python -m pytest --pdb NODEID'");
  EXPECT_EQ(problem({"-x", "--pdbcls", "a:B"}),
            "--pdbcls is pytest's, and needs one process at a terminal: run 'python -m pytest --pdbcls=MODULE:CLASS --pdb NODEID'");
  EXPECT_EQ(problem({"tests", "--markers"}), "--markers is pytest's, and runs no test: ask 'python -m pytest --markers'");
  EXPECT_EQ(problem({"--sw"}), "--sw is pytest's, and goes through tests one by one: -x stops at the first failure, --lf runs what failed");
  for (const char* word :
       {"--pdbcls=a:B", "--trace", "--stepwise", "--stepwise-skip", "--fixtures", "--setup-show", "--setup-plan", "--setup-only"})
    EXPECT_TRUE(problem({word}).contains(" is pytest's, and ")) << word;
  EXPECT_EQ(request({"-k", "--pdb"}).pytest_arguments, (Words{"-k", "--pdb"})) << "a value";
}

TEST(PytestArguments, letters_differ_between_the_two_programs) {
  EXPECT_EQ(request({"-x"}).stop_after, 1u);
  EXPECT_EQ(request({"-x", "all"}, "maelstrom-pytest").exclude, Words{"all"});
  EXPECT_EQ(request({"-s"}).pytest_arguments, Words{"--capture=no"});
  EXPECT_EQ(request({"-s", "4"}, "maelstrom-pytest").stop_after, 4u);
  EXPECT_EQ(request({"-r", "4"}).repeat, 4u);
  const PytestRequest summary = request({"-rA"});
  EXPECT_EQ(summary.repeat, 1u);
  EXPECT_EQ(summary.notes.size(), 1u);
  EXPECT_EQ(request({"-r=4", "-t=2", "-i=all"}, "maelstrom-pytest").repeat, 4u);
  EXPECT_EQ(request({"-k=a or b"}).pytest_arguments, (Words{"-k", "a or b"}));
  EXPECT_NE(problem({"-r", "A"}, "maelstrom-pytest").find("'A' is not a number"), std::string::npos);
  EXPECT_EQ(request({"--log-level", "debug"}, "maelstrom-pytest").pytest_arguments, Words{"-v"}) << "which calls pytest with it";
  EXPECT_TRUE(request({"-q"}, "maelstrom-pytest").pytest_arguments.empty());
}

TEST(PytestArguments, our_own_flags) {
  const PytestRequest own = request({"--image",        "docker://python:3.12",
                                     "--python",       "3.11",
                                     "--requirements", "r.txt",
                                     "--isolation",    "class",
                                     "--executor",     "docker",
                                     "--shard",        "2/4",
                                     "--retries",      "3",
                                     "--slow-after",   "1m",
                                     "--memory",       "64m",
                                     "--pids",         "9",
                                     "--cpus",         "1.5",
                                     "--disk",         "1g",
                                     "--network",      "local",
                                     "--json-lines",   "j",
                                     "--html",         "h",
                                     "--no-github",    "--no-immortal"});
  EXPECT_EQ(own.image, "docker://python:3.12");
  EXPECT_EQ(own.python, "3.11");
  EXPECT_EQ(own.requirements, "r.txt");
  EXPECT_EQ(own.isolation, Isolation::klass);
  EXPECT_EQ(own.executor, "docker");
  EXPECT_EQ(own.shard, 2u);
  EXPECT_EQ(own.shards, 4u);
  EXPECT_EQ(own.retries, 3u);
  EXPECT_EQ(own.slow_after, 60s);
  EXPECT_EQ(own.limits.memory_bytes, 64u << 20);
  EXPECT_EQ(own.limits.pids, 9u);
  EXPECT_EQ(own.limits.cpus, 1.5);
  EXPECT_EQ(own.limits.disk_bytes, 1u << 30);
  EXPECT_EQ(own.network, Network::host);
  EXPECT_EQ(own.json_lines, "/nonexistent/project/j");
  EXPECT_EQ(own.html, "/nonexistent/project/h");
  EXPECT_EQ(own.github, false);
  EXPECT_FALSE(own.immortal);
  EXPECT_EQ(request({"--github"}).github, true);
}

TEST(PytestArguments, mistakes_are_one_line_with_what_was_meant) {
  EXPECT_EQ(problem({"--incude", "all"}), "there is no option '--incude', did you mean '--include'? (see 'casemate pytest --help')");
  EXPECT_EQ(
      problem({"--some-plugin-option=3"}),
      "there is no option '--some-plugin-option'; what is a plugin's is written --extra-pytest-args=--NAME, or after -- for tests alone "
      "(see 'casemate pytest --help')");
  EXPECT_EQ(problem({"-z"}), "there is no option '-z' (see 'casemate pytest --help')");
  EXPECT_EQ(problem({"--slots"}), "--slots needs a value (see 'casemate pytest --help')");
  EXPECT_EQ(problem({"-k"}), "-k needs a value (see 'casemate pytest --help')");
  EXPECT_EQ(problem({"--slots", "1001"}), "--slots: '1001' is not a number from 1 to 1000");
  EXPECT_EQ(problem({"--repeat", "0"}), "--repeat: '0' is not a number from 1 to 1000000");
  EXPECT_EQ(problem({"--ui", "fancyy"}), "--ui: 'fancyy': choose auto, fancy, simple, quiet; did you mean 'fancy'?");
  EXPECT_EQ(problem({"-i", "fiel.eq(a)"}), "--include 'fiel.eq(a)': column 1: there is no selector 'fiel', did you mean 'file'?");
  EXPECT_EQ(problem({"-x", "("}, "maelstrom-pytest").substr(0, 13), "--exclude '('");
  for (const char* shard : {"0/4", "5/4", "1", "/", "1/0", "a/b", "1/2/3"})
    EXPECT_NE(problem({"--shard", shard}).find("write 1/4"), std::string::npos);
  EXPECT_EQ(problem({"--isolation", "tests"}), "--isolation: 'tests': choose test, class, module, file, cold; did you mean 'test'?");
  EXPECT_EQ(problem({"--executor", "dokcer"}), "--executor: 'dokcer': choose native, docker, remote; did you mean 'docker'?");
  EXPECT_EQ(problem({"--memory", "0"}), "--memory: must be more than 0");
  EXPECT_NE(problem({"--timeout", "soon"}).find("--timeout: "), std::string::npos);
  EXPECT_EQ(problem({"--network", "hots"}).substr(0, 16), "--network: 'hots");
  EXPECT_EQ(problem({"--ui", "\x1b[31m"}).find('\x1b'), std::string::npos);
}

TEST(PytestArguments, the_environment_lies_below_the_command_line) {
  const std::map<std::string, std::string> variables = {{"MAELSTROM_PYTEST_SLOTS", "1"},
                                                        {"CASEMATE_PYTEST_SLOTS", "2"},
                                                        {"MAELSTROM_SLOTS", "3"},
                                                        {"CASEMATE_REPEAT", "4"},
                                                        {"MAELSTROM_REPEAT", "5"},
                                                        {"CASEMATE_PYTEST_REPEAT", "6"},
                                                        {"CASEMATE_UI", ""},
                                                        {"MAELSTROM_UI", "quiet"},
                                                        {"CASEMATE_IMMORTAL", "false"},
                                                        {"MAELSTROM_EXTRA_PYTEST_ARGS", "-k 'a b'"}};
  const ParsedPytest parsed = parse({"--stop-after", "9", "-v"}, "casemate pytest", variables);
  ASSERT_FALSE(parsed.stop) << parsed.text;
  EXPECT_EQ(parsed.request.slots, 1u);
  EXPECT_EQ(parsed.request.repeat, 6u);
  EXPECT_EQ(parsed.request.ui, PytestRequest::Ui::quiet);
  EXPECT_FALSE(parsed.request.immortal);
  EXPECT_EQ(parsed.request.pytest_arguments, (Words{"-k", "a b", "-v"}));
  EXPECT_EQ(parse({"--slots", "7"}, "casemate pytest", variables).request.slots, 7u);
  EXPECT_EQ(parse({}, "casemate pytest", {{"MAELSTROM_SLOTS", "x"}}).text,
            "casemate pytest: MAELSTROM_SLOTS: 'x' is not a number from 1 to 1000\n");
  EXPECT_EQ(parse({}, "casemate pytest", {{"CASEMATE_GITHUB", "yes"}}).text,
            "casemate pytest: CASEMATE_GITHUB: 'yes': write true or false\n");
  EXPECT_FALSE(parse({"--init"}, "casemate pytest", {{"MAELSTROM_SLOTS", "x"}}).stop) << "what writes the first file needs none";
}

TEST(PytestArguments, print_config_is_a_file_that_would_say_the_same) {
  const std::string text = parse({"-P", "--slots", "3", "--extra-pytest-args=a\"b"}, "casemate pytest", {{"CASEMATE_UI", "quiet"}}).text;
  EXPECT_NE(text.find("slots = 3  # --slots\n"), std::string::npos) << text;
  EXPECT_NE(text.find("ui = \"quiet\"  # CASEMATE_UI\n"), std::string::npos) << text;
  EXPECT_NE(text.find("extra-pytest-args = [\"a\\\"b\"]  # --extra-pytest-args\n"), std::string::npos) << text;
  EXPECT_NE(text.find("repeat = 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("# timeout is not set\n"), std::string::npos) << text;
}

TEST(PytestArguments, every_setting_and_word_is_in_the_help) {
  for (const char* program : {"casemate pytest", "maelstrom-pytest"}) {
    const std::string help = parse({"--help"}, program).text;
    for (const PytestSetting& setting : pytest_settings()) {
      const std::string flag = setting.key == "log-level" ? "-L" : "-" + std::string(setting.key);  // --no-immortal alone is listed
      EXPECT_NE(help.find(flag), std::string::npos) << setting.key;
    }
    for (const PytestWord& word : pytest_words())
      EXPECT_EQ(help.find(std::string("\n  ") + std::string(word.names) + " ") != std::string::npos, !word.help.empty()) << word.names;
    for (const char* flag : {"--include", "--exclude", "--list", "--init", "--watch", "--print-config", "--config-file", "--lf", "--ff"})
      EXPECT_NE(help.find(flag), std::string::npos) << flag;
  }
}

}  // namespace
}  // namespace casemate
