// Plans as generators write them, with all the names they use; and plans that are none.
#include "testplan/plan_reading.h"

#include <chrono>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testplan/plan_references.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;
using Kind = PlanDependency::Kind;
using std::chrono::milliseconds;
using Ids = std::vector<std::string>;

Result<TestPlan> read(std::string_view yaml) {
  auto document = parse_document(yaml, "plan.yaml", DocumentFormat::yaml);
  if (!document) return std::unexpected(document.error());
  return read_plan(*document, "plan.yaml");
}

TestPlan plan_of(std::string_view yaml) {
  auto plan = read(yaml);
  EXPECT_TRUE(plan) << (plan ? "" : plan.error().what);
  return plan ? *std::move(plan) : TestPlan{};
}

TestPlan with_cases(std::string_view cases) { return plan_of("tool_name: jq\ntest_cases:\n" + std::string(cases)); }

std::string problems(std::string_view yaml) {
  const auto plan = read(yaml);
  if (plan) return "none";
  EXPECT_EQ(plan.error().code, ErrorCode::invalid_input);
  return plan.error().what;
}

std::string problems_of_cases(std::string_view cases) { return problems("tool_name: jq\ntest_cases:\n" + std::string(cases)); }

Ids ids(const std::vector<PlanStep>& steps) {
  Ids all;
  for (const PlanStep& step : steps) all.push_back(step.id);
  return all;
}

TEST(PlanReading, the_generators_own_format) {
  const TestPlan plan = plan_of(R"(
id: plan-1
tool_name: jq
description: what jq does
version: "1.0"
created_by: somebody
metadata: {model: x}
global_setup:
  - {id: gs, type: setup, description: make a file, command: "echo '{}' > in.json"}
global_teardown:
  - {id: gt, type: teardown, description: remove it, command: rm in.json, timeout: 5}
test_cases:
  - id: c1
    name: help
    description: it helps
    command_line: jq --help | head
    expected_exit_code: 0
    expected_output_contains: ["usage:", jq]
    expected_error_contains: []
    tags: [smoke, help]
    status: not_run
    result: null
    steps:
      - id: s1
        type: verification
        description: twice
        command: jq -n 1
        expected_exit_code: 0
        expected_output: "1\n"
        timeout: 2.5
        depends_on: [s2]
        environment: {A: b, N: 1}
      - {id: s2, type: command, description: once, command: "true"}
      - {id: s0, type: setup, description: before, command: "true"}
      - {id: s9, type: teardown, description: after, command: "true"}
)");
  EXPECT_EQ(plan.id, "plan-1");
  EXPECT_EQ(plan.tool, "jq");
  EXPECT_EQ(plan.version, "1.0");
  EXPECT_EQ(plan.notes, Ids{});
  EXPECT_EQ(ids(plan.setup), Ids{"gs"});
  EXPECT_EQ(plan.setup[0].pointer, "/global_setup/0");
  EXPECT_EQ(plan.teardown.at(0).timeout, milliseconds(5000));
  ASSERT_EQ(plan.cases.size(), 1u);
  const PlanCase& one = plan.cases[0];
  EXPECT_EQ(one.name, "help");
  EXPECT_EQ(one.tags, (Ids{"smoke", "help"}));
  EXPECT_EQ(one.pointer, "/test_cases/0");
  EXPECT_EQ(ids(one.steps), (Ids{"s0", "c1.command_line", "s2", "s1", "s9"}));
  ASSERT_EQ(one.main, 1u);
  EXPECT_EQ(one.steps[1].command, "jq --help | head");
  EXPECT_EQ(one.steps[1].expected, (Expectations{.exit_code = 0, .output = {"usage:", "jq"}}));
  EXPECT_EQ(one.steps[3].expected.output, Ids{"1"});  // the newline at the end is YAML's
  EXPECT_EQ(one.steps[3].timeout, milliseconds(2500));
  EXPECT_EQ(one.steps[3].environment, (std::map<std::string, std::string>{{"A", "b"}, {"N", "1"}}));
  EXPECT_EQ(one.steps[3].pointer, "/test_cases/0/steps/0");
}

TEST(PlanReading, other_names_in_use) {
  const TestPlan plan = plan_of(R"(
test_plan:
  tool: {name: rg}
  install_command: apt-get install -y ripgrep
  execution: {timeout: 60, work_dir: /w, use_docker: yes, docker_image: debian, parallel_tests: 4, retry_count: "2", network: bridge, env: [A=b]}
  cases:
    - test_case_id: 7
      title: fails
      command: rg --nonsense
      expected_return_code: 0
      should_fail: true
      expected_stderr: unrecognized
      expected_stdout: [a, b]
      expected_files: [out.txt, {path: /x}]
      timeout_seconds: 1m
      execution_order: 3
      tags: "slow, negative"
      env: {LANG: C}
      retries: 1
      tty: true
      stdin: hello
      test_steps: [echo one, {command_line: echo two, env: {LANG: D}, background: true}]
)");
  EXPECT_EQ(plan.tool, "rg");
  EXPECT_EQ(plan.install, (InstallRequest{.source = "apt-get install -y ripgrep"}));
  EXPECT_EQ(plan.execution.timeout, milliseconds(60'000));
  EXPECT_EQ(plan.execution.work_dir, "/w");
  EXPECT_EQ(plan.execution.use_docker, true);
  EXPECT_EQ(plan.execution.image, "debian");
  EXPECT_EQ(plan.execution.parallel, 4u);
  EXPECT_EQ(plan.execution.retries, 2u);
  EXPECT_EQ(plan.execution.network, "outbound");
  EXPECT_EQ(plan.execution.environment.at("A"), "b");
  const PlanCase& one = plan.cases.at(0);
  EXPECT_EQ(one.id, "7");
  EXPECT_EQ(one.pointer, "/test_plan/cases/0");
  EXPECT_EQ(one.execution_order, 3);
  EXPECT_EQ(one.tags, (Ids{"slow", "negative"}));
  const PlanStep& own = one.steps.at(0);
  EXPECT_EQ(own.expected, (Expectations{.nonzero = true, .output = {"a", "b"}, .error = {"unrecognized"}, .files = {"out.txt", "/x"}}));
  EXPECT_EQ(own.timeout, milliseconds(60'000));
  EXPECT_EQ(own.environment.at("LANG"), "C");
  EXPECT_TRUE(own.terminal);
  EXPECT_EQ(own.input, "hello");
  EXPECT_EQ(ids(one.steps), (Ids{"7.command_line", "7.step-1", "7.step-2"}));
  EXPECT_EQ(one.steps[1].command, "echo one");
  EXPECT_EQ(one.steps[1].expected.exit_code, 0);
  EXPECT_EQ(one.steps[1].retries, 1u);
  EXPECT_FALSE(one.steps[1].terminal);
  EXPECT_EQ(one.steps[2].environment.at("LANG"), "D");
  EXPECT_TRUE(one.steps[2].background);
  EXPECT_EQ(one.steps[2].expected.exit_code, 0) << "a service that ends otherwise has failed";
}

TEST(PlanReading, values_that_nothing_gives_are_noted) {
  const TestPlan plan = with_cases(R"(
  - {command_line: "echo {{HAS}} {{ NOBODY }} {{.Go}} {{", extractions: [{variable_name: HAS, extraction_pattern: x}]}
)");
  EXPECT_EQ(plan.notes, Ids{"test_cases[0]: the plan extracts no value NOBODY: {{NOBODY}} stays as it is"});
}

TEST(PlanReading, near_misses_are_noted_and_other_keys_are_not) {
  const TestPlan plan = plan_of(R"(
tool_name: jq
model_used: m
descripton: x
execution: {timout: 9, compare: jsonx}
test_cases:
  - {command_line: a, expected_ouput_contains: b, cwd: /tmp, priority: high, status: passed, result: {}}
  - {steps: [{command: a, expected_exit_cod: 3, whatever: 1}], expected_exit_code: 0}
)");
  EXPECT_EQ(plan.notes,
            (Ids{"execution.compare: 'jsonx' is none of exact, contains, json", "execution.timout: is not known, did you mean 'timeout'?",
                 "test_cases[0].cwd: is not read here: begin the command with 'cd', or give execution.work_dir",
                 "test_cases[0].expected_ouput_contains: is not known, did you mean 'expected_output_contains'?",
                 "test_cases[1].steps[0].expected_exit_cod: is not known, did you mean 'expected_exit_code'?",
                 "descripton: is not known, did you mean 'description'?"}));
  PlanExecution execution;
  const auto refused = read_execution(nlohmann::ordered_json{{"timout", 9}, {"compare", "json"}}, "c.toml", execution);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().what,
            "c.toml: execution.timout: is not known, did you mean 'timeout'?\nc.toml: execution.compare: is not known");
}

TEST(PlanReading, what_is_in_files_is_expected_too) {
  const TestPlan plan = with_cases(R"(
  - {command_line: a, expected_files: [{path: a.txt, contains: [x, y]}, {path: b, sha: 1}, "*.log"]}
  - {command_line: a, expected_files: {a.txt: zzz, b: null}}
)");
  const Expectations& first = plan.cases.at(0).steps.at(0).expected;
  EXPECT_EQ(first.files, (Ids{"a.txt", "b", "*.log"}));
  EXPECT_EQ(first.contents, (std::vector<ExpectedContent>{{"a.txt", "x"}, {"a.txt", "y"}}));
  const Expectations& second = plan.cases.at(1).steps.at(0).expected;
  EXPECT_EQ(second.files, (Ids{"a.txt", "b"}));
  EXPECT_EQ(second.contents, (std::vector<ExpectedContent>{{"a.txt", "zzz"}}));
  EXPECT_EQ(plan.notes, Ids{"test_cases[0].expected_files.sha: is not looked at: path and contains are"});
}

TEST(PlanReading, a_cases_own_command_can_be_a_service) {
  const TestPlan plan = with_cases("\n  - {command_line: serve, background: true, steps: [ask]}\n");
  EXPECT_TRUE(plan.cases.at(0).steps.at(0).background);
  EXPECT_EQ(plan.cases[0].steps[0].expected.exit_code, 0);
  EXPECT_FALSE(plan.cases[0].steps.at(1).background);
}

TEST(PlanReading, exit_codes_that_are_expected) {
  const TestPlan plan = with_cases(R"(
  - {command_line: a}
  - {command_line: a, expected_exit_code: null, should_fail: false}
  - {command_line: a, expected_exit_code: any}
  - {command_line: a, expected_exit_code: 2, should_fail: true}
  - {command_line: a, expected_exit_code: -1}
  - {steps: [{type: assertion, command: a}, {type: assertion, expected_output: b}]}
)");
  const auto expected = [&](std::size_t at, std::size_t step = 0) { return plan.cases.at(at).steps.at(step).expected; };
  EXPECT_EQ(expected(0), (Expectations{.exit_code = 0}));
  EXPECT_EQ(expected(1), (Expectations{.exit_code = 0}));
  EXPECT_EQ(expected(2), Expectations{});
  EXPECT_EQ(expected(3), (Expectations{.exit_code = 2, .nonzero = true}));
  EXPECT_EQ(expected(4), (Expectations{.exit_code = 255}));
  EXPECT_EQ(expected(5, 0), (Expectations{.exit_code = 0}));
  EXPECT_EQ(expected(5, 1), (Expectations{.output = {"b"}}));
}

TEST(PlanReading, values_go_from_one_case_to_another) {
  const TestPlan plan = with_cases(R"yaml(
  - {id: make, name: Make it, command_line: make, extractions: [{variable_name: SELF, extraction_pattern: "x(.)"}]}
  - id: use
    command_line: use {{ID}}
    depends_on_test_case_id: make
    variable_name: ID
    extraction_pattern: id=(\d+)
    steps: [{id: pre, type: setup, command: pre}]
  - id: also
    command_line: also
    dependencies:
      - {depends_on_test_case_id: make, dependency_type: env_var, variable_name: X, extraction_pattern: y}
      - {type: env_var, variable_name: HOME}
      - {type: file, path: /etc/passwd}
      - {type: command, name: git}
      - {type: service, port: 8080}
      - Make it
    extract: {OUT: ""}
)yaml");
  const PlanCase &make = plan.cases[0], &use = plan.cases[1], &also = plan.cases[2];
  EXPECT_EQ(make.steps[0].extractions, (std::vector<Extraction>{{"SELF", "x(.)", ""}}));
  EXPECT_EQ(use.depends_on, (std::vector<PlanDependency>{{Kind::result, "make", ""}}));
  EXPECT_EQ(ids(use.steps), (Ids{"pre", "use.command_line"}));
  EXPECT_EQ(use.steps[0].extractions, (std::vector<Extraction>{{"ID", "id=(\\d+)", "make"}}));  // there for whatever runs first
  EXPECT_EQ(use.main, 1u);
  EXPECT_EQ(also.depends_on, (std::vector<PlanDependency>{{Kind::result, "make", ""},
                                                          {Kind::environment, "", "HOME"},
                                                          {Kind::file, "", "/etc/passwd"},
                                                          {Kind::command, "", "git"},
                                                          {Kind::service, "", "8080"},
                                                          {Kind::result, "make", ""}}));
  EXPECT_EQ(also.steps[0].extractions, (std::vector<Extraction>{{"X", "y", "make"}, {"OUT", "", ""}}));
  EXPECT_EQ(plan.notes, Ids{"'Make it' is taken for the case of that name"});
}

TEST(PlanReading, steps_of_one_name_in_two_cases) {
  const TestPlan good = with_cases(R"(
  - {id: a, steps: [{id: step1, command: x}, {id: step2, command: y, depends_on: [step1]}]}
  - {id: b, steps: [{id: step2, command: y, depends_on: [step1]}, {id: step1, command: x}]}
  - {id: c, command_line: z, depends_on: [b.step2, step1]}
)");
  EXPECT_EQ(ids(good.cases[0].steps), (Ids{"step1", "step2"}));
  EXPECT_EQ(ids(good.cases[1].steps), (Ids{"b.step1", "b.step2"}));
  EXPECT_EQ(good.cases[1].steps[1].depends_on.at(0).id, "b.step1");
  EXPECT_EQ(good.cases[2].depends_on.at(0).id, "b.step2");
  EXPECT_EQ(good.notes, Ids{"test_cases[2]: several cases have a step 'step1': that of 'a' is meant"});
}

TEST(PlanReading, ids_are_made_up_and_unique) {
  const TestPlan plan = with_cases(R"(
  - {command_line: a, steps: [{command: b}]}
  - {id: case-1, command_line: a}
  - {id: "", name: "", command_line: a}
)");
  EXPECT_EQ(plan.cases[0].id, "case-1-2");
  EXPECT_EQ(plan.cases[0].name, "case-1-2");
  EXPECT_EQ(ids(plan.cases[0].steps), (Ids{"case-1-2.command_line", "case-1-2.step-1"}));
  EXPECT_EQ(plan.cases[2].id, "case-3");
}

TEST(PlanReading, order_of_steps) {
  const TestPlan plan = with_cases(R"(
  - id: c
    command_line: main
    steps:
      - {id: t, type: teardown, command: t}
      - {id: v, type: verify, command: v}
      - {id: x, command: x, depends_on: z}
      - {id: ax, type: assertion, expected_output: of x}
      - {id: y, command: "y"}
      - {id: z, command: z}
      - {id: s, type: setup, command: s}
)");
  EXPECT_EQ(ids(plan.cases[0].steps), (Ids{"s", "c.command_line", "y", "z", "x", "ax", "v", "t"}));
  EXPECT_EQ(plan.cases[0].main, 1u);
}

TEST(PlanReading, what_a_case_without_a_command_expects_is_looked_for_at_the_end) {
  const TestPlan plan = with_cases(
      "  - {id: c, steps: [{command: x}], expected_exit_code: 0, expected_output_contains: [y]}\n  - {id: d, steps: [{command: x}], "
      "expected_exit_code: 0}\n");
  ASSERT_EQ(plan.cases[0].steps.size(), 2u);
  EXPECT_FALSE(plan.cases[0].main);
  EXPECT_EQ(plan.cases[0].steps[1].type, PlanStep::Type::verification);
  EXPECT_EQ(plan.cases[0].steps[1].expected, (Expectations{.output = {"y"}}));
  EXPECT_EQ(plan.cases[0].steps[1].pointer, plan.cases[0].pointer);
  EXPECT_EQ(plan.cases[1].steps.size(), 1u);
}

TEST(PlanReading, prose_is_passed_over_with_a_note) {
  const TestPlan plan = with_cases("  - {id: c, command_line: x, steps: [{type: assertion, description: the output is nice}]}\n");
  EXPECT_EQ(plan.notes, Ids{"test_cases[0].steps[0]: neither runs a command nor says what to look for: it is passed over"});
}

TEST(PlanReading, ways_of_installation) {
  const auto install = [](const std::string& text) { return plan_of("tool_name: t\ntest_cases: [{command_line: t}]\n" + text).install; };
  EXPECT_EQ(install(""), InstallRequest{});
  EXPECT_EQ(install("install: {strategy: pip3, package: httpie, version: 3.2.2, verify_command: http --version, expected_pattern: '3\\.'}"),
            (InstallRequest{.strategy = "pip", .packages = {"httpie==3.2.2"}, .verify = "http --version", .verify_pattern = "3\\."}));
  EXPECT_EQ(install("installation: {method: npm, packages: [prettier], version: '3'}").packages, Ids{"prettier@3"});
  EXPECT_EQ(install("install: {strategy: archive, url: 'https://x/y.tgz', sha256: ab, needs: [xz-utils]}"),
            (InstallRequest{.strategy = "archive", .source = "https://x/y.tgz", .digest = "sha256:ab", .needs = {"xz-utils"}}));
  EXPECT_EQ(install("install: none").strategy, "none");
  EXPECT_EQ(install("install: yarn"), (InstallRequest{.strategy = "npm", .packages = {"t"}}));
  EXPECT_EQ(install("install: {strategy: apt, version: 1.6-2}").packages, Ids{"t=1.6-2"});
  EXPECT_EQ(install("install: {strategy: go}").packages, Ids{});
  EXPECT_EQ(install("install: 'pip:httpie==3.2.2'"), (InstallRequest{.strategy = "pip", .packages = {"httpie==3.2.2"}}));
  EXPECT_EQ(install("install: 'go:mvdan.cc/sh/v3/cmd/shfmt@v3.6.0'").packages, Ids{"mvdan.cc/sh/v3/cmd/shfmt@v3.6.0"});
  EXPECT_EQ(install("install: 'archive:https://x/y.tgz#sha256=ab'"),
            (InstallRequest{.strategy = "archive", .source = "https://x/y.tgz", .digest = "sha256:ab"}));
  EXPECT_EQ(install("install: 'script:get.sh'"), (InstallRequest{.strategy = "script", .file = "get.sh"}));
  EXPECT_EQ(install("install: 'echo a:b'").source, "echo a:b");
  EXPECT_EQ(install("install: {strategy: archive, file: x.tgz}").source, "x.tgz");
  EXPECT_EQ(install("install: auto"), InstallRequest{});
  EXPECT_EQ(install("install: {strategy: auto, package: jq}"), InstallRequest{.packages = {"jq"}});
  EXPECT_EQ(install("install: ./install.sh"), (InstallRequest{.strategy = "script", .source = "./install.sh"}));
  EXPECT_EQ(install("metadata: {install_command: make install}"), InstallRequest{.source = "make install"});
  EXPECT_EQ(install("install: {command: make}").strategy, "script");
}

TEST(PlanReading, an_installation_that_makes_no_sense_is_told_with_its_place) {
  EXPECT_EQ(problems("tool_name: t\ntest_cases: [{command_line: t}]\ninstall: 'apt:'"),
            "plan.yaml: install: 'apt:': give STRATEGY:PACKAGE, the strategy one of apt, pip, npm, cargo, go, gem, archive, script, none, "
            "or 'none' alone");
}

TEST(PlanReading, all_problems_at_once_with_their_places) {
  EXPECT_EQ(problems(R"(
description: [1]
execution: {timeout: soon, network: maybe, parallel_tests: 0}
install: {strategy: ap}
global_setup: {}
test_cases:
  - {id: a, command_line: x, timeout: soon, expected_exit_code: 999, tags: [[]], environment: {"A=": b}}
  - {id: a, command_line: x, steps: [{type: dance, command: x}, 3], depends_on: [nobody, {type: file}]}
  - 5
)"),
            "plan.yaml: tool_name: the plan does not name its tool\n"
            "plan.yaml: description: a list is no text\n"
            "plan.yaml: install.strategy: there is no way of installation 'ap', did you mean 'apt'?\n"
            "plan.yaml: execution.timeout: 'soon' is no number of seconds over 0, at most a year\n"
            "plan.yaml: execution.parallel_tests: '0' is no whole number from 1 to 1000\n"
            "plan.yaml: execution.network: 'maybe' is no network: none, outbound (or bridge), host, own\n"
            "plan.yaml: global_setup: is no list of steps\n"
            "plan.yaml: test_cases[0].tags: a list is no text\n"
            "plan.yaml: test_cases[0].expected_exit_code: '999' is no whole number from -255 to 255\n"
            "plan.yaml: test_cases[0].timeout: 'soon' is no number of seconds over 0, at most a year\n"
            "plan.yaml: test_cases[0].environment: 'A=' is no name of a variable\n"
            "plan.yaml: test_cases[1].steps[0].type: 'dance' is no type of a step: command, assertion, setup, teardown, verification\n"
            "plan.yaml: test_cases[1].steps[1]: is no step: neither an object nor a command\n"
            "plan.yaml: test_cases[1].depends_on[1]: does not say what it needs\n"
            "plan.yaml: test_cases[2]: is no case: an object is wanted\n"
            "plan.yaml: test_cases[1].id: 'a' is another case's id too\n"
            "plan.yaml: test_cases[1]: depends on 'nobody', which is no case and no step");
}

TEST(PlanReading, what_is_no_plan) {
  EXPECT_EQ(problems("[]"), "plan.yaml: is no plan: an object with test_cases is wanted");
  EXPECT_EQ(problems("tool_name: jq"), "plan.yaml: test_cases: the plan has no cases");
  EXPECT_EQ(problems("tool_name: jq\ntest_cases: []"), "plan.yaml: test_cases: the plan has no cases");
  EXPECT_EQ(problems("tool_name: jq\ntest_cases: x"), "plan.yaml: test_cases: 'x' is no list of cases");
  EXPECT_EQ(problems_of_cases("  - {id: a}"), "plan.yaml: test_cases[0]: has neither a command_line nor steps");
  EXPECT_EQ(problems_of_cases("  - {id: a, steps: [{type: assertion, expected_output: x}]}"),
            "plan.yaml: test_cases[0].steps[0]: checks the output of the command before it, and there is none");
  EXPECT_EQ(problems_of_cases("  - {id: a, command_line: x, extract: [{variable_name: 1a}]}"),
            "plan.yaml: test_cases[0].extract[0]: '1a' is no name of a variable");
  EXPECT_EQ(problems_of_cases("  - {id: a, command_line: x, environment: {casemate_command: id}}"),
            "plan.yaml: test_cases[0].environment: 'casemate_command' begins with casemate_, as only variables of our own do");
  EXPECT_TRUE(problems_of_cases("  - {id: a, command_line: x, extract: {A: (}}")
                  .starts_with("plan.yaml: test_cases[0].extract.extraction_pattern: '(' is no pattern"));
  EXPECT_EQ(problems_of_cases("  - {id: a, command_line: \"x\\0y\"}"),
            "plan.yaml: test_cases[0].command_line: has a NUL in it\nplan.yaml: test_cases[0]: has neither a command_line nor steps");
  EXPECT_EQ(problems_of_cases("  - {id: a, steps: [\"x\\0y\"]}"), "plan.yaml: test_cases[0].steps[0]: has a NUL in it");
}

TEST(PlanReading, at_most_twenty_problems_are_told) {
  std::string cases;
  for (int one = 0; one < 100; ++one) cases += "  - {command_line: x, timeout: -1}\n";
  const std::string text = problems_of_cases(cases);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 20);
  EXPECT_TRUE(text.ends_with("\nplan.yaml: and 80 more problems"));
}

TEST(PlanReading, circles_are_named_in_full) {
  EXPECT_EQ(problems_of_cases("  - {id: a, command_line: x, depends_on: b}\n  - {id: b, command_line: x, depends_on: [c]}\n"
                              "  - {id: c, command_line: x, depends_on: [a]}\n  - {id: d, command_line: x, depends_on: [a]}"),
            "plan.yaml: dependencies in a circle: 'a' needs 'b' needs 'c' needs 'a'");
  EXPECT_EQ(problems_of_cases("  - {id: a, command_line: x, depends_on: a}"), "plan.yaml: dependencies in a circle: 'a' needs 'a'");
  EXPECT_EQ(problems_of_cases("  - {id: a, steps: [{id: s, command: x, depends_on: [t]}, {id: t, command: x, depends_on: [s]}]}"),
            "plan.yaml: dependencies in a circle: 's' needs 't' needs 's'");
  // Through steps of two cases: cases run as a whole.
  EXPECT_EQ(problems_of_cases("  - {id: a, steps: [{id: s, command: x, depends_on: [t]}]}\n  - {id: b, steps: [{id: t, command: x}, "
                              "{id: u, command: x, depends_on: [s]}]}"),
            "plan.yaml: dependencies in a circle: 'a' needs 'b' needs 'a'");
  EXPECT_EQ(problems_of_cases("  - {id: a, steps: [{id: s, command: x, depends_on: [t]}, {id: t, type: teardown, command: x}]}"),
            "plan.yaml: test_cases[0].steps[0]: depends on 't', a teardown: it runs last");
  EXPECT_EQ(
      problems("tool_name: x\nglobal_setup: [{id: s, command: x, depends_on: [a]}]\nglobal_teardown: [{id: t, command: x, depends_on: "
               "[a, s]}]\n"
               "test_cases: [{id: a, command_line: x, depends_on: [t]}]"),
      "plan.yaml: global_setup[0]: depends on 'a', which runs after it\nplan.yaml: test_cases[0]: depends on 't', which runs after it");
  EXPECT_EQ(problems_of_cases("  - {id: alpha, command_line: x}\n  - {id: b, command_line: x, depends_on: alhpa}"),
            "plan.yaml: test_cases[1]: depends on 'alhpa', which is no case and no step, did you mean 'alpha'?");
}

TEST(PlanReading, problems_are_safe_for_a_screen) {
  const std::string text = problems_of_cases(
      "  - {id: \"\\e]0;evil\\x07\", command_line: x, timeout: \"\\e[2J\"}\n  - {id: \"\\e]0;evil\\x07\", command_line: x}");
  EXPECT_EQ(text.find_first_of("\x1b\x07"), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(PlanReading, ten_thousand_cases_in_a_chain) {
  const auto read_chain = [](int cases, bool closed) {
    std::string text = R"({"tool_name":"x","test_cases":[)";
    for (int one = 0; one < cases; ++one) {
      const std::string before = one > 0 ? fmt::format("\"case {}\"", one - 1) : closed ? fmt::format("\"case {}\"", cases - 1) : "";
      text += fmt::format(
          R"({}{{"id":"case {}","name":"n","command_line":"x","depends_on":[{}],"steps":[{{"id":"s","command":"y"}},{{"command":"z","depends_on":["s"]}}]}})",
          one > 0 ? "," : "", one, before);
    }
    const auto document = parse_document(text + "]}", "p", DocumentFormat::json);
    return read_plan(*document, "p");
  };
  const auto plan = read_chain(10'000, false);
  ASSERT_TRUE(plan) << plan.error().what;
  EXPECT_EQ(plan->cases.size(), 10'000u);
  EXPECT_EQ(plan->cases.back().steps.at(2).depends_on.at(0).id, "case 9999.s");
  const auto circle = read_chain(10'000, true);
  ASSERT_FALSE(circle);
  EXPECT_NE(circle.error().what.find("(9980 more) needs"), std::string::npos) << circle.error().what;
}

TEST(PlanReading, twenty_thousand_steps_in_a_case) {
  Json steps = Json::array();
  for (int step = 0; step < 10'000; ++step) {
    steps.push_back({{"command", "x"}});
    steps.push_back({{"type", "assertion"}, {"expected_output", "y"}});
  }
  const auto plan = read_plan({Json{{"tool_name", "x"}, {"test_cases", {{{"command_line", "z"}, {"steps", steps}}}}}}, "p");
  ASSERT_TRUE(plan) << plan.error().what;
  EXPECT_EQ(plan->cases[0].steps.size(), 20'001u);
  EXPECT_EQ(plan->cases[0].steps[20'000].type, PlanStep::Type::assertion);
}

// Each needs an id that nobody has, and all of them want the same.
TEST(PlanReading, a_hundred_thousand_cases_of_one_id) {
  Json cases = Json::array();
  for (int one = 0; one < 100'000; ++one) cases.push_back({{"id", "x"}, {"command_line", "y"}});
  const auto plan = read_plan({Json{{"tool_name", "x"}, {"test_cases", cases}}}, "p");
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().what.find("and 99979 more problems"), std::string::npos) << plan.error().what;
}

TEST(PlanReading, a_configuration_is_laid_over) {
  PlanExecution execution{.timeout = milliseconds(1), .work_dir = "/a", .environment = {{"A", "1"}, {"B", "1"}}};
  ASSERT_TRUE(read_execution(Json{{"timeout", 2}, {"env", {{"B", 2}}}}, "casemate.toml", execution));
  EXPECT_EQ(execution.timeout, milliseconds(2000));
  EXPECT_EQ(execution.work_dir, "/a");
  EXPECT_EQ(execution.environment, (std::map<std::string, std::string>{{"A", "1"}, {"B", "2"}}));
  const auto bad = read_execution(Json{{"timeout", "x"}, {"work_dir", "/b"}}, "casemate.toml", execution);
  EXPECT_EQ(bad.error().what, "casemate.toml: execution.timeout: 'x' is no number of seconds over 0, at most a year");
  EXPECT_EQ(execution.work_dir, "/a");  // nothing half done
  EXPECT_FALSE(read_execution(Json(3), "casemate.toml", execution));
}

TEST(PlanWriting, puts_results_where_the_generator_looks_for_them_and_nothing_else) {
  const std::string text = R"(
tool_name: jq
unknown: [1, {a: b}]
global_setup: [{id: g, command: x}, echo text]
test_cases:
  - {id: c, command_line: x, extra: kept, status: not_run, result: null, steps: [{id: s2, command: z, depends_on: [s1]}, {id: s1, type: command, command: y, more: 1}]}
  - {id: d, command_line: x, result: a text}
  - {id: e, command_line: x}
)";
  auto document = *parse_document(text, "p", DocumentFormat::yaml);
  const Json was = document.value;
  const TestPlan plan = *read_plan(document, "p");
  PlanResult result;
  result.setup = {{.status = PlanStatus::passed}, {.status = PlanStatus::passed}};
  StepResult good{.status = PlanStatus::passed, .outcome = Outcome{Outcome::Kind::exited, 0, "", ""}, .out = "out\xff", .err = "err"};
  StepResult bad{.status = PlanStatus::failed, .reason = "signaled 9", .outcome = Outcome{Outcome::Kind::signaled, 9, "", ""}};
  result.cases = {
      {.status = PlanStatus::failed, .reason = "step 's2': signaled 9", .steps = {good, good, bad}, .took = std::chrono::milliseconds(5)},
      {.status = PlanStatus::error, .reason = "timed out", .steps = {bad}}};
  write_result(plan, result, document.value);
  const Json& one = document.value["test_cases"][0];
  EXPECT_EQ(one["status"], "failed");
  EXPECT_EQ(
      one["result"].dump(),
      R"({"status":"failed","actual_exit_code":0,"actual_output":"out�","actual_error":"err","duration_ms":5.0,"error_message":"step 's2': signaled 9"})");
  EXPECT_EQ(one["steps"][0]["status"], "failed");
  EXPECT_EQ(one["steps"][0]["actual_exit_code"], 137);
  EXPECT_EQ(one["steps"][0]["actual_result"], "signaled 9");
  EXPECT_EQ(one["steps"][1]["status"], "passed");
  EXPECT_EQ(one["steps"][1]["actual_result"], "exited 0");
  EXPECT_EQ(one["steps"][1]["actual_output"], "out�");
  EXPECT_EQ(one["steps"][1]["more"], 1);
  EXPECT_EQ(document.value["test_cases"][1]["result"], "timed out");
  EXPECT_EQ(document.value["test_cases"][2], was["test_cases"][2]);  // nobody knows of it
  EXPECT_EQ(document.value["global_setup"][1], "echo text");
  // Without what we put, it is what it was; and it is the same plan again.
  const auto again = read_plan(document, "p");
  ASSERT_TRUE(again) << again.error().what;
  Json clean = document.value;
  for (Json* object : {&clean["global_setup"][0], &clean["test_cases"][0], &clean["test_cases"][0]["steps"][0],
                       &clean["test_cases"][0]["steps"][1], &clean["test_cases"][1]}) {
    for (const char* key : {"status", "actual_result", "actual_exit_code", "actual_output", "actual_error"}) object->erase(key);
  }
  clean["test_cases"][0]["result"] = nullptr;
  clean["test_cases"][1]["result"] = "a text";
  Json before = was;
  before["test_cases"][0].erase("status");
  EXPECT_EQ(clean.dump(), before.dump());
}

TEST(PlanWriting, another_document_is_left_alone) {
  const TestPlan plan = with_cases("  - {id: c, command_line: x}\n");
  PlanResult result;
  result.cases = {{.status = PlanStatus::passed}};
  for (const char* text : {"{}", "[]", "3", R"({"test_cases":[]})", R"({"test_cases":{"0":1}})", R"({"test_cases":[5]})"}) {
    Json other = Json::parse(text);
    write_result(plan, result, other);
    EXPECT_EQ(other, Json::parse(text));
  }
}

TEST(PlanReferences, circles) {
  using Nodes = std::vector<std::size_t>;
  EXPECT_EQ(find_circle({}), Nodes{});
  EXPECT_EQ(find_circle({{1}, {2, 2}, {}}), Nodes{});
  EXPECT_EQ(find_circle({{1}, {2}, {1}}), (Nodes{1, 2}));
}

}  // namespace
}  // namespace casemate
