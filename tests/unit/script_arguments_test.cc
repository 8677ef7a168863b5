#include "apps/script/arguments.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Words = std::vector<std::string>;

ScriptRequest parsed(Words arguments) {
  arguments.insert(arguments.begin(), {"--script", "s.py", "--reqs", "r.txt"});
  const auto result = parse_script_arguments(arguments);
  EXPECT_TRUE(result) << (result ? "" : result.error().what);
  return result ? result->request : ScriptRequest();
}

std::string problem(const Words& arguments) {
  const auto result = parse_script_arguments(arguments);
  EXPECT_FALSE(result);
  return result ? "" : result.error().what;
}

TEST(ScriptArguments, reads_all_of_the_documented_options) {
  const auto request = parsed({"--inputs", "a.csv", "b.csv", "--script-args", "--input-file data.csv --mode fast", "--json-output"});
  EXPECT_EQ(request.script, "s.py");
  EXPECT_EQ(request.requirements, "r.txt");
  EXPECT_EQ(request.inputs, (Words{"a.csv", "b.csv"}));
  EXPECT_EQ(request.script_arguments, (Words{"--input-file", "data.csv", "--mode", "fast"}));
  EXPECT_TRUE(request.json);
}

TEST(ScriptArguments, repeated_inputs_add_up) {
  EXPECT_EQ(parsed({"--inputs", "a", "--inputs=b", "--inputs", "c", "d"}).inputs, (Words{"a", "b", "c", "d"}));
}

TEST(ScriptArguments, shortened_options_keep_their_meaning_whatever_we_added) {
  EXPECT_EQ(parsed({"--i", "a"}).inputs, Words{"a"});                                         // not --image
  EXPECT_EQ(parse_script_arguments({"--script=s", "--re", "r"})->request.requirements, "r");  // not --results
  EXPECT_EQ(parsed({"--res", "out"}).results, "out");
  EXPECT_EQ(problem({"--s", "x"}), "ambiguous option: --s could match --script, --script-args");
  EXPECT_EQ(problem({"--p=3"}), "ambiguous option: --p=3 could match --python-version, --pull, --pids");
}

TEST(ScriptArguments, script_args_may_begin_with_a_dash) {
  EXPECT_EQ(parsed({"--script-args", "--verbose"}).script_arguments, Words{"--verbose"});
  EXPECT_EQ(parsed({"--script-args", "-5"}).script_arguments, Words{"-5"});
  EXPECT_EQ(parsed({"--script-args=--json-output"}).script_arguments, Words{"--json-output"});
  EXPECT_EQ(problem({"--script-args", "--json-output"}), "argument --script-args: expected one argument");
}

TEST(ScriptArguments, says_what_argparse_says) {
  EXPECT_EQ(problem({}), "the following arguments are required: --script, --reqs");
  EXPECT_EQ(problem({"--script"}), "argument --script: expected one argument");
  EXPECT_EQ(problem({"--inputs", "--script", "a"}), "argument --inputs: expected at least one argument");
  EXPECT_EQ(problem({"--script", "a", "--reqs", "b", "x", "--foo=3", "--", "k"}), "unrecognized arguments: x --foo=3 -- k");
  EXPECT_EQ(problem({"--json-output=3"}), "argument --json-output: ignored explicit argument '3'");
  EXPECT_EQ(problem({"--network", "lan"}), "argument --network: invalid choice: 'lan' (choose from 'none', 'outbound', 'host')");
}

TEST(ScriptArguments, reads_limits) {
  const auto request = parsed({"--timeout", "2m", "--memory", "256M", "--cpus", "1.5", "--pids", "64", "--disk", "1G", "--network=none"});
  EXPECT_EQ(request.limits.wall, std::chrono::minutes(2));
  EXPECT_EQ(request.limits.memory_bytes, 256u << 20);
  EXPECT_EQ(request.limits.cpus, 1.5);
  EXPECT_EQ(request.limits.pids, 64u);
  EXPECT_EQ(request.limits.disk_bytes, 1u << 30);
  EXPECT_EQ(request.network, Network::none);
  const auto unlimited = parsed({"--memory", "0", "--pids", "0", "--disk", "0"});
  EXPECT_FALSE(unlimited.limits.memory_bytes || unlimited.limits.pids || unlimited.limits.disk_bytes || unlimited.limits.disk_inodes);
}

TEST(ScriptArguments, refuses_values_that_mean_nothing) {
  for (const Words& words : {Words{"--pids", "-1"}, Words{"--pids", "1x"}, Words{"--pids", ""}, Words{"--cpus", "nan"}, Words{"--cpus", ""},
                             Words{"--cpus", "0.0001"}, Words{"--memory", "1M"}, Words{"--memory", "lots"}, Words{"--timeout", "soon"},
                             Words{"--env", "=x"}, Words{"--image", "python:3.10"}, Words{"--executor", "podman"}, Words{"--results", ""},
                             Words{"--color", "blue"}, Words{"--script-args", "'"}}) {
    EXPECT_TRUE(problem(words).starts_with("argument ")) << words[0] << " " << words[1];
  }
}

TEST(ScriptArguments, reads_the_environment) {
  const auto request = parsed({"-e", "A=1", "-eB=2=3", "--env", "C=", "--env=CASEMATE_NOT_SET_ANYWHERE"});
  EXPECT_EQ(request.environment, (std::map<std::string, std::string>{{"A", "1"}, {"B", "2=3"}, {"C", ""}}));
}

TEST(ScriptArguments, help_comes_first_and_needs_nothing) {
  EXPECT_EQ(parse_script_arguments({"-h"})->action, ParsedArguments::Action::help);
  EXPECT_EQ(parse_script_arguments({"--version", "--nonsense"})->action, ParsedArguments::Action::version);
  EXPECT_EQ(problem({"-h", "--s"}), "ambiguous option: --s could match --script, --script-args");
}

TEST(ScriptArguments, json_is_seen_also_in_what_cannot_be_parsed) {
  EXPECT_TRUE(asks_for_json({"--nonsense", "--json"}));
  EXPECT_TRUE(asks_for_json({"--s", "--json-output"}));
  EXPECT_FALSE(asks_for_json({"--", "--json-output"}));
  EXPECT_FALSE(asks_for_json({}));
}

TEST(ScriptArguments, usage_is_that_of_the_document) {
  EXPECT_EQ(script_usage("py_test_runner.py"),
            "usage: py_test_runner.py [-h] --script SCRIPT --reqs REQS\n"
            "                         [--inputs INPUTS [INPUTS ...]]\n"
            "                         [--script-args SCRIPT_ARGS] [--json-output]\n");
}

TEST(ScriptArguments, a_lock_file_is_named_after_an_equals_sign_or_not_at_all) {
  EXPECT_EQ(parsed({}).lock, "");
  EXPECT_EQ(parsed({"--lock"}).lock, "casemate.lock");
  EXPECT_EQ(parsed({"--lock=my.lock"}).lock, "my.lock");
  EXPECT_EQ(problem({"--script", "s.py", "--reqs", "r.txt", "--lock", "my.lock"}), "unrecognized arguments: my.lock");
}

TEST(ScriptArguments, an_engine_is_named_by_our_words_and_bazels) {
  const auto request = parsed({"--remote", "grpc://h:1", "--remote-header", "A=b", "--remote_header=c=d", "--tls_certificate", "ca.pem",
                               "--remote-priority", "-3", "--remote-fallback"});
  ASSERT_TRUE(request.remote);
  EXPECT_EQ(request.executor, "remote");
  EXPECT_EQ(request.remote->address, "grpc://h:1");
  EXPECT_EQ(request.remote->headers, (std::vector<std::pair<std::string, std::string>>{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(request.remote->ca, "ca.pem");
  EXPECT_EQ(request.remote->priority, -3);
  EXPECT_TRUE(request.remote->fallback);
}

TEST(ScriptArguments, an_engine_that_can_not_be_meant_is_refused) {
  EXPECT_EQ(problem({"--script", "s", "--reqs", "r", "--executor", "docker", "--remote", "grpc://h:1"}),
            "--executor docker runs nothing on a remote engine: leave it or --remote out");
  EXPECT_EQ(problem({"--script", "s", "--reqs", "r", "--remote", "grpc://h:1", "--remote-image", "property"}),
            "a script's image is sent with its packages: leave --remote-image property out");
  EXPECT_EQ(problem({"--script", "s", "--reqs", "r", "--remote", "grpc://h:1", "--remote-priority", "x"}),
            "--remote-priority 'x' is not a whole number");
}

}  // namespace
}  // namespace casemate
