// Plans run to their end on contexts of cells.
#include "testplan/plan_run.h"

#include <csignal>

#include <fmt/format.h>

#include "engine_test.h"

namespace casemate {
namespace {

using milliseconds = std::chrono::milliseconds;
using Kind = PlanDependency::Kind;

PlanStep step_of(const std::string& id, const std::string& command, PlanStep::Type type = PlanStep::Type::command) {
  PlanStep step;
  step.id = id;
  step.command = command;
  step.type = type;
  step.expected.exit_code = 0;
  return step;
}

PlanCase case_of(const std::string& id, std::vector<std::string> commands, std::vector<PlanDependency> needs = {}) {
  PlanCase one;
  one.id = one.name = id;
  for (const std::string& command : commands) one.steps.push_back(step_of(fmt::format("{}.{}", id, one.steps.size()), command));
  one.main = 0;
  one.depends_on = std::move(needs);
  return one;
}

PlanDependency on(const std::string& id) { return {.id = id}; }

// Hears all, in one text.
struct Recorder : PlanListener {
  std::string text;
  std::vector<std::string> notes;
  std::map<std::size_t, CaseResult> finished;
  std::size_t bytes = 0;
  std::function<void()> on_output = [] {};
  void case_started(std::size_t index) override { text += fmt::format("<{}", index); }
  void output(std::size_t, std::size_t, Stream, std::string_view piece) override {
    bytes += piece.size();
    on_output();
  }
  void case_finished(std::size_t index, const CaseResult& result) override {
    text += fmt::format("{}>", index);
    EXPECT_FALSE(finished.contains(index)) << "finished twice";
    finished[index] = result;
  }
  void note(std::string_view line) override { notes.emplace_back(line); }
};

class PlanRunTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    options_.base.env = {{"PATH", "/usr/bin:/bin"}, {"HOME", "/tmp"}};
    options_.base.cwd = "/tmp";
    options_.base.limits = default_limits();
    options_.timeout = milliseconds(60'000);
  }
  // A directory of the host's at /log in every context.
  void share_log() {
    fs::create_directory(dir_ / "log");
    ::chmod((dir_ / "log").c_str(), 0777);
    options_.base.mounts.push_back({.source = dir_ / "log", .target = "/log", .writable = true, .owned = true});
  }
  std::string log(const std::string& name) { return read(dir_ / "log" / name); }
  PlanResult run_it() {
    auto result = run_plan(*engine_, plan_, options_, recorder_);
    EXPECT_TRUE(result) << (result ? "" : result.error().what);
    return result ? std::move(*result) : PlanResult{};
  }
  // "passed failed(reason)".
  static std::string statuses(const PlanResult& result) {
    std::string text;
    for (const CaseResult& one : result.cases) {
      text += text.empty() ? "" : " ";
      text += word(one.status);
      if (!one.reason.empty()) text += fmt::format("({})", one.reason);
    }
    return text;
  }
  static std::string out(const PlanResult& result, std::size_t index, std::size_t step = 0) {
    return result.cases.at(index).steps.at(step).out;
  }

  TestPlan plan_;
  PlanRunOptions options_;
  Recorder recorder_;
};

TEST_F(PlanRunTest, a_sequence_keeps_directory_environment_and_files) {
  plan_.setup = {step_of("s", "mkdir /tmp/work && cd /tmp/work && export FROM_SETUP=yes")};
  plan_.cases = {case_of("a", {"pwd; echo $FROM_SETUP > file; export X=1", "cat file; mkdir sub; cd sub"}),
                 case_of("b", {"pwd; cat ../file; echo $X; exit 3"}), case_of("c", {"echo last"})};
  plan_.cases[1].steps[0].expected.exit_code = 3;
  plan_.cases[0].steps[0].expected.files = {"file", "/tmp/work/file"};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed");
  EXPECT_EQ(out(result, 0), "/tmp/work\n");
  EXPECT_EQ(out(result, 0, 1), "yes\n");
  EXPECT_EQ(out(result, 1), "/tmp/work/sub\nyes\n1\n");
  EXPECT_EQ(recorder_.text, "<00><11><22>");
  EXPECT_EQ(recorder_.bytes, out(result, 0).size() + out(result, 0, 1).size() + out(result, 1).size() + out(result, 2).size());
  EXPECT_EQ(result.setup.at(0).status, PlanStatus::passed);
  EXPECT_EQ(result.executor, "native");
  EXPECT_GT(result.started_ms, 0);
}

TEST_F(PlanRunTest, what_is_not_as_expected_fails_and_the_rest_goes_on) {
  plan_.cases = {case_of("a", {"echo out; echo err >&2; exit 1"}), case_of("b", {"echo Usage: x"}), case_of("c", {"true"}),
                 case_of("d", {"kill -9 $$"}), case_of("e", {"true"})};
  plan_.cases[1].steps[0].expected.output = {"usage:", "missing"};
  plan_.cases[2].steps[0].expected.files = {"nothing"};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result),
            "failed(exited 1, expected 0; stderr ends: 'err') failed(stdout lacks 'missing'; it ends: 'Usage: x') failed(there is no file "
            "'nothing') failed(signaled 9 (SIGKILL), expected 0) passed");
  EXPECT_EQ(result.cases[0].steps[0].err, "err\n");
}

TEST_F(PlanRunTest, files_are_found_by_patterns_and_looked_into) {
  plan_.cases = {case_of("a", {"echo Hello > 'out 1.txt'; echo x > 'lit*'; mkdir d"}), case_of("b", {"true"})};
  plan_.cases[0].steps[0].expected.files = {"out*.txt", "lit*", "/tmp/out ?.txt"};
  plan_.cases[0].steps[0].expected.contents = {{"out*", "hello"}, {"lit*", "x"}};
  plan_.cases[1].steps[0].expected.files = {"/tmp/out*.log", "$(touch /tmp/evil)*"};
  plan_.cases[1].steps[0].expected.contents = {{"/tmp/out 1.txt", "bye"}, {"/tmp/d", ""}, {"/tmp/none", "x"}};
  const PlanResult result = run_it();
  EXPECT_EQ(
      statuses(result),
      "passed failed(there is no file '/tmp/out*.log'; there is no file '$(touch /tmp/evil)*'; the file '/tmp/out 1.txt' lacks 'bye'; "
      "the file '/tmp/none' lacks 'x')");
}

TEST_F(PlanRunTest, after_a_step_that_fails_only_the_teardown_runs) {
  plan_.cases = {case_of("a", {"false", "echo never"})};
  plan_.cases[0].steps.push_back(step_of("t1", "echo torn", PlanStep::Type::teardown));
  plan_.cases[0].steps.push_back(step_of("t2", "false", PlanStep::Type::teardown));
  plan_.cases[0].steps.push_back(step_of("t3", "echo too", PlanStep::Type::teardown));
  const PlanResult result = run_it();
  const auto& steps = result.cases[0].steps;
  EXPECT_EQ(result.cases[0].status, PlanStatus::failed);
  EXPECT_EQ(steps[1].status, PlanStatus::skipped);
  EXPECT_EQ(steps[1].reason, "'a.0' did not pass");
  EXPECT_EQ(steps[1].attempts, 0u);
  EXPECT_EQ(steps[2].out, "torn\n");
  EXPECT_EQ(steps[4].out, "too\n");
}

TEST_F(PlanRunTest, an_assertion_without_a_command_is_about_the_one_before) {
  plan_.cases = {case_of("a", {"echo Version 7"})};
  for (const char* wanted : {"version 7", "version 8"}) {
    PlanStep looks = step_of(wanted, "", PlanStep::Type::assertion);
    looks.expected.output = {wanted};
    looks.extractions = {{"NUMBER", "\\d+", ""}};
    plan_.cases[0].steps.push_back(looks);
  }
  const PlanResult result = run_it();
  const auto& steps = result.cases[0].steps;
  EXPECT_EQ(steps[1].status, PlanStatus::passed) << steps[1].reason;
  EXPECT_EQ(steps[1].values.at("NUMBER"), "7");
  EXPECT_EQ(steps[1].out, "");
  EXPECT_EQ(steps[2].status, PlanStatus::failed);
}

TEST_F(PlanRunTest, values_go_from_one_command_to_later_ones) {
  plan_.setup = {step_of("s", "echo set-up")};
  plan_.setup[0].extractions = {{"FROM_SETUP", "", ""}};
  plan_.cases = {case_of("a", {"printf 'id=4 2;$(reboot)\\n'"}),
                 case_of("b", {"echo {{ID}}; echo \"$ID $FROM_SETUP\"", "echo $OF_A {{OF_A}}"}), case_of("c", {"echo {{MISSING}} x"})};
  plan_.cases[0].steps[0].extractions = {{"ID", "id=(.*)", ""}};
  plan_.cases[1].steps[0].environment = {{"ID2", "<{{ID}}>"}};
  plan_.cases[1].steps[0].expected.output = {"{{FROM_SETUP}}"};
  plan_.cases[1].steps[1].extractions = {{"OF_A", "^..", "a"}};
  plan_.cases[2].steps[0].extractions = {{"NEVER", "no such", ""}};
  plan_.cases.push_back(case_of("d", {"echo {{NEVER}}"}));
  const PlanResult result = run_it();
  EXPECT_EQ(
      statuses(result),
      "passed passed failed(no value for NEVER: 'no such' is nowhere in the output) error(no value for NEVER: nothing that ran before "
      "has given it)");
  EXPECT_EQ(out(result, 1), "4 2;$(reboot)\n4 2;$(reboot) set-up\n");
  EXPECT_EQ(out(result, 1, 1), "id id\n");
  EXPECT_EQ(result.cases[1].steps[0].environment.at("ID2"), "<4 2;$(reboot)>");
  EXPECT_EQ(out(result, 2), "{{MISSING}} x\n");
}

TEST_F(PlanRunTest, of_values_of_one_name_the_latest_counts) {
  plan_.setup = {step_of("s", "echo set-up")};
  plan_.cases = {case_of("a", {"echo $V"}), case_of("b", {"echo case"}), case_of("c", {"echo $V"})};
  plan_.teardown = {step_of("t1", "echo end"), step_of("t2", "echo $V")};
  for (PlanStep* step : {&plan_.setup[0], &plan_.cases[1].steps[0], &plan_.teardown[0]}) step->extractions = {{"V", "", ""}};
  const PlanResult result = run_it();
  EXPECT_EQ(out(result, 0), "set-up\n");
  EXPECT_EQ(out(result, 2), "case\n");
  EXPECT_EQ(result.teardown[1].out, "end\n");
}

TEST_F(PlanRunTest, what_needs_something_is_skipped_with_its_name) {
  plan_.cases = {case_of("bad", {"false"}),
                 case_of("b", {"true"}, {on("bad")}),
                 case_of("c", {"true"}, {on("b")}),
                 case_of("file", {"true"}, {{Kind::file, "", "/nothing"}}),
                 case_of("env", {"true"}, {{Kind::environment, "", "NOT_THERE"}}),
                 case_of("command", {"true"}, {{Kind::command, "", "no-such-tool"}}),
                 case_of("service", {"true"}, {{Kind::service, "", "1234"}}),
                 case_of("good", {"true"}, {{Kind::file, "", "/tmp"}, {Kind::environment, "", "HOME"}, {Kind::command, "", "cat"}}),
                 case_of("step", {"true"})};
  plan_.cases[8].steps[0].depends_on = {on("bad.0")};
  const PlanResult result = run_it();
  EXPECT_EQ(
      statuses(result),
      "failed(exited 1, expected 0) skipped(needs 'bad', which failed) skipped(needs 'b', which was skipped) skipped(needs the file "
      "'/nothing', which is not there) skipped(needs the variable NOT_THERE in the environment, which is not there) skipped(needs the "
      "command 'no-such-tool', which is not there) skipped(needs something that listens on 1234, which is not there) passed "
      "skipped(needs 'bad.0', which failed)");
}

TEST_F(PlanRunTest, a_service_is_ready_when_it_listens_and_stays) {
  const std::string server =
      "python3 -u -c 'import socket,time; print(\"starting\"); time.sleep(0.3); s=socket.create_server((\"127.0.0.1\",8123))\n"
      "while True: c=s.accept()[0]; c.sendall(b\"hello\"); c.close()'";
  const std::string client = "python3 -c 'import socket; print(socket.create_connection((\"127.0.0.1\",8123)).recv(9).decode())'";
  plan_.cases = {case_of("a", {server, client}), case_of("b", {client}, {{Kind::service, "", "localhost:8123"}}),
                 case_of("dies", {"echo no port >&2; exit 4"})};
  for (const std::size_t index : {0u, 2u}) {
    plan_.cases[index].steps[0].background = true;
    plan_.cases[index].steps[0].depends_on = {{Kind::service, "", index == 0 ? "8123" : "8124"}};
  }
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed failed(exited 4, expected 0; stderr ends: 'no port')");
  EXPECT_EQ(out(result, 0, 1), "hello\n");
  EXPECT_EQ(out(result, 1), "hello\n");
  bool named = false;
  for (const Leftover& each : result.cases[0].steps[0].services) named |= each.name.starts_with("python3");
  EXPECT_TRUE(named);
}

TEST_F(PlanRunTest, what_a_service_says_and_how_it_ends_is_its_steps) {
  const auto service = [](const std::string& id, const std::string& command, PlanStep::Type type = PlanStep::Type::command) {
    PlanStep step = step_of(id, command, type);
    step.background = true;
    return step;
  };
  plan_.setup = {service("up", "echo set-up; while :; do sleep 0.05; [ ! -e /tmp/more ] || { echo more; > /tmp/told; sleep 1000; }; done")};
  plan_.cases = {case_of("ends", {}), case_of("talks", {}), case_of("killed", {}), case_of("at once", {}), case_of("later", {})};
  plan_.cases[0].steps = {service("ends.s", "echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two; exit 3"),
                          step_of("ends.c", "touch /tmp/go; while [ ! -s /dev/shm/.casemate-service2.end ]; do sleep 0.05; done")};
  plan_.cases[1].steps = {service("talks.s", "echo Listening >&2; exec sleep 1000"),
                          step_of("talks.c", "while [ ! -s /dev/shm/.casemate-service3.out ]; do sleep 0.05; done")};
  plan_.cases[1].steps[0].expected.error = {"listening"};
  plan_.cases[2].steps = {service("killed.s", "exec sh -c 'echo $$ > /tmp/pid; exec sleep 1000'"),
                          step_of("killed.c", "while [ ! -s /dev/shm/.casemate-service4.end ]; do kill $(cat /tmp/pid); sleep 0.05; done")};
  plan_.cases[3].steps = {service("at once.s", "exit 7")};
  plan_.cases[4].steps = {service("later.s", "while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 9")};
  plan_.teardown = {step_of("t",
                            "touch /tmp/end /tmp/more; while [ ! -s /dev/shm/.casemate-service6.end ]; do sleep 0.05; done; while [ ! -e "
                            "/tmp/told ]; do sleep 0.05; done")};
  for (PlanCase& one : plan_.cases) one.main.reset();
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result),
            "failed(the service ended with status 3, expected 0) passed passed failed(exited 7, expected 0) "
            "passed");
  EXPECT_EQ(out(result, 0), "one\ntwo\n");
  EXPECT_EQ(out(result, 1), "Listening\n");
  EXPECT_EQ(result.setup.at(0).out, "set-up\nmore\n");
  ASSERT_EQ(recorder_.notes.size(), 1u);
  EXPECT_EQ(recorder_.notes[0], "'later.s', after its case: the service ended with status 9, expected 0");
}

TEST_F(PlanRunTest, input_ends_a_terminal_is_one_and_a_daemon_is_named) {
  plan_.cases = {case_of("cat", {"cat; echo end"}), case_of("input", {"cat"}),
                 case_of("tty", {"test -t 0 && test -t 1 && tty && stty size"}),
                 case_of("daemon", {"setsid sleep 1000 >/dev/null 2>&1 & while ! grep -q sleep /proc/$!/comm; do :; done",
                                    "pgrep -x sleep >/dev/null || ps ax | grep -q '[s]leep'"})};
  plan_.cases[1].steps[0].input = "some\0bytes";
  plan_.cases[2].steps[0].terminal = true;
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed passed");
  EXPECT_EQ(out(result, 0), "end\n");
  EXPECT_EQ(out(result, 1), "some");
  EXPECT_NE(out(result, 2).find("24 80"), std::string::npos) << out(result, 2);
  ASSERT_FALSE(result.cases[3].steps[0].services.empty());
  EXPECT_EQ(result.cases[3].steps[0].services[0].name, "sleep");
}

TEST_F(PlanRunTest, a_timeout_ends_one_command) {
  plan_.cases = {case_of("a", {"cd /usr; export X=1"}), case_of("slow", {"echo begun; sleep 1000"}), case_of("c", {"echo $PWD$X"})};
  plan_.cases[1].steps[0].timeout = milliseconds(300);
  const PlanResult result = run_it();
  EXPECT_EQ(result.cases[1].status, PlanStatus::error);
  EXPECT_EQ(result.cases[1].steps[0].outcome->kind, Outcome::Kind::timed_out);
  EXPECT_EQ(out(result, 1), "begun\n");
  EXPECT_EQ(out(result, 2), "/usr1\n");
}

TEST_F(PlanRunTest, retries_are_made_in_fresh_contexts_after_what_they_need) {
  share_log();
  options_.retries = 2;
  plan_.setup = {step_of("s", "echo S >> /log/order")};
  plan_.teardown = {step_of("t", "echo T >> /log/order")};
  plan_.cases = {case_of("a", {"echo a >> /log/order; touch /tmp/a"}), case_of("other", {"touch /tmp/other"}),
                 case_of("flaky", {"test -e /tmp/a; echo f >> /log/order; touch /tmp/f; test $(grep -c f /log/order) = 3"}, {on("a")}),
                 case_of("after", {"test -e /tmp/f"}, {on("flaky")}), case_of("never", {"false"})};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed passed failed(exited 1, expected 0)");
  EXPECT_EQ(result.cases[2].steps[0].attempts, 3u);
  EXPECT_EQ(result.cases[4].steps[0].attempts, 3u);
  EXPECT_EQ(log("order"), "S\na\nf\nT\nS\na\nf\nT\nS\na\nf\nT\nS\nT\nS\nT\n");
  EXPECT_EQ(recorder_.notes.size(), 4u);
  EXPECT_EQ(recorder_.text, "<00><11><22><33><44>");
}

TEST_F(PlanRunTest, a_steps_own_retries_stay_in_its_context) {
  plan_.cases = {case_of("a", {"echo x >> /tmp/n; test $(wc -l < /tmp/n) = 3"})};
  plan_.cases[0].steps[0].retries = 5;
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed");
  EXPECT_EQ(result.cases[0].steps[0].attempts, 3u);
}

TEST_F(PlanRunTest, isolated_cases_have_a_context_each) {
  share_log();
  options_.isolate_cases = true;
  plan_.setup = {step_of("s", "echo S >> /log/order; touch /tmp/setup")};
  plan_.teardown = {step_of("t", "echo T >> /log/order")};
  plan_.cases = {case_of("a", {"touch /tmp/a; test -e /tmp/setup; echo token"}),
                 case_of("b", {"test -e /tmp/a && test $V = token"}, {on("a")}), case_of("c", {"test ! -e /tmp/a"})};
  plan_.cases[0].steps[0].extractions = {{"V", "", ""}};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed") << "what a case needs runs before it";
  EXPECT_EQ(log("order"), "S\nT\nS\nT\nS\nT\n");
  EXPECT_EQ(recorder_.text, "<00><11><22>");
}

TEST_F(PlanRunTest, a_set_up_that_fails_is_an_error_of_each_case_and_teardown_runs) {
  share_log();
  plan_.setup = {step_of("s1", "exit 2"), step_of("s2", "echo never >> /log/order")};
  plan_.teardown = {step_of("t1", "false"), step_of("t2", "echo T >> /log/order")};
  plan_.cases = {case_of("a", {"true"}), case_of("b", {"true"})};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "error(the set-up's step 's1': exited 2, expected 0) error(the set-up's step 's1': exited 2, expected 0)");
  EXPECT_EQ(result.setup[1].status, PlanStatus::skipped);
  EXPECT_EQ(result.teardown[0].status, PlanStatus::failed);
  EXPECT_EQ(result.teardown[1].status, PlanStatus::passed);
  EXPECT_EQ(log("order"), "T\n");
  EXPECT_EQ(recorder_.notes, std::vector<std::string>{"the tear-down's step 't1': exited 1, expected 0"});
}

TEST_F(PlanRunTest, the_first_failure_ends_it_if_asked) {
  options_.fail_fast = true;
  plan_.cases = {case_of("a", {"true"}), case_of("b", {"false"}), case_of("c", {"true"})};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result),
            "passed failed(exited 1, expected 0) not_run('b' did not pass, and the run ends with the first that doesn't)");
  EXPECT_EQ(recorder_.text, "<00><11>");
}

TEST_F(PlanRunTest, what_is_not_selected_is_not_run) {
  plan_.cases = {case_of("a", {"true"}), case_of("b", {"true"})};
  options_.selected = {false, true};
  EXPECT_EQ(statuses(run_it()), "not_run(not chosen) passed");
  options_.selected = {false, false};
  EXPECT_EQ(statuses(run_it()), "not_run(not chosen) not_run(not chosen)");
}

TEST_F(PlanRunTest, what_is_done_is_told_as_it_was_and_run_only_for_who_needs_it) {
  plan_.cases = {case_of("a", {"echo again"}), case_of("b", {"echo $V"}), case_of("c", {"echo $V {{W}}"}, {on("a")})};
  plan_.cases[0].steps[0].extractions = {{"V", "", ""}};
  plan_.cases[2].steps[0].extractions = {{"W", "a.*", "a"}};
  CaseResult done;
  done.status = PlanStatus::passed;
  done.steps.resize(1);
  done.steps[0].status = PlanStatus::passed;
  done.steps[0].outcome = Outcome{Outcome::Kind::exited};
  done.steps[0].out = "from before";
  done.steps[0].values = {{"V", "kept"}};
  options_.done = {{"a", done}};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed");
  EXPECT_EQ(out(result, 0), "from before");
  EXPECT_EQ(out(result, 1), "kept\n");
  EXPECT_EQ(out(result, 2), "again again\n");
  EXPECT_EQ(recorder_.text, "<11><22>");
}

TEST_F(PlanRunTest, nothing_inside_ends_a_context) {
  options_.base.limits.memory_bytes = 64 << 20;
  plan_.cases = {case_of("a", {"export X=1; kill -9 1; kill -9 -1; exit 1"}),
                 case_of("memory", {"python3 -c 'x=[bytearray(1<<20) for i in range(4000)]'"}), case_of("c", {"echo $X fine"})};
  const PlanResult result = run_it();
  EXPECT_NE(result.cases[0].status, PlanStatus::passed);
  EXPECT_NE(result.cases[1].status, PlanStatus::passed);
  EXPECT_EQ(result.cases[2].status, PlanStatus::passed) << statuses(result);
}

// Kills every context from outside.
void kill_children() {
  std::istringstream children(read(fmt::format("/proc/self/task/{}/children", ::getpid())));
  for (pid_t child = 0; children >> child;) ::kill(child, SIGKILL);
}

TEST_F(PlanRunTest, a_context_that_is_lost_is_that_cases_error_and_a_fresh_one_takes_the_rest) {
  share_log();
  plan_.setup = {step_of("s", "echo S >> /log/order")};
  plan_.teardown = {step_of("t", "echo T >> /log/order")};
  plan_.cases = {case_of("a", {"echo a >> /log/order; touch /tmp/a"}), case_of("unneeded", {"echo u >> /log/order"}),
                 case_of("lost", {"echo die", "echo never"}), case_of("d", {"test -e /tmp/a && echo d >> /log/order"}, {on("a")})};
  recorder_.on_output = kill_children;
  plan_.cases[2].steps[0].command = "echo die; sleep 1000";
  const PlanResult result = run_it();
  EXPECT_EQ(result.cases[2].status, PlanStatus::error);
  EXPECT_EQ(result.cases[2].steps[0].outcome->kind, Outcome::Kind::lost);
  EXPECT_EQ(result.cases[2].steps[1].status, PlanStatus::skipped);
  EXPECT_EQ(result.cases[3].status, PlanStatus::passed) << statuses(result);
  EXPECT_EQ(log("order"), "S\na\nu\nS\na\nd\nT\n");
  ASSERT_EQ(recorder_.notes.size(), 1u);
  EXPECT_TRUE(recorder_.notes[0].starts_with("the context of 'lost' was lost: lost (")) << recorder_.notes[0];
}

TEST_F(PlanRunTest, contexts_that_are_lost_again_and_again_end_it) {
  for (int i = 0; i < 6; ++i) plan_.cases.push_back(case_of(std::to_string(i), {"echo die; sleep 1000"}));
  recorder_.on_output = kill_children;
  const PlanResult result = run_it();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(result.cases[i].status, PlanStatus::error);
  for (std::size_t i = 4; i < 6; ++i) {
    EXPECT_EQ(result.cases[i].status, PlanStatus::not_run);
    EXPECT_EQ(result.cases[i].reason, "not run: contexts were lost 4 times, last in '3'");
  }
}

TEST_F(PlanRunTest, a_fork_bomb_is_one_cases_trouble) {
  options_.base.limits.pids = 64;
  plan_.cases = {case_of("bomb", {"b() { b | b & }; b; sleep 1; exit 1"}), case_of("after", {"echo fine"})};
  plan_.cases[0].steps[0].timeout = milliseconds(3000);
  options_.retries = 1;
  const PlanResult result = run_it();
  EXPECT_NE(result.cases[0].status, PlanStatus::passed);
  EXPECT_EQ(result.cases[1].status, PlanStatus::passed) << statuses(result) << ": at the latest in a context without the bomb";
}

TEST_F(PlanRunTest, what_takes_all_processes_is_an_error_and_the_rest_has_a_fresh_context) {
  if (!open_cgroups()->support().pids) GTEST_SKIP() << "this machine's cgroups do not count processes";
  options_.base.limits.pids = 40;
  plan_.cases = {case_of("a", {"touch /tmp/a"}), case_of("passes", {"b() { b | b & }; b; sleep 1; echo alive"}),
                 case_of("after", {"test -e /tmp/a; echo fine | cat"}, {on("a")}),
                 case_of("many", {"for i in $(seq 60); do setsid sleep 1000 & done"}), case_of("last", {"echo fine | cat | cat"})};
  const PlanResult result = run_it();
  EXPECT_EQ(result.cases[1].status, PlanStatus::error);
  EXPECT_TRUE(result.cases[1].reason.starts_with("too many processes (limit 40")) << result.cases[1].reason;
  EXPECT_EQ(result.cases[2].status, PlanStatus::passed) << statuses(result);
  EXPECT_EQ(result.cases[3].status, PlanStatus::error);
  EXPECT_EQ(result.cases[4].status, PlanStatus::passed) << statuses(result);
  ASSERT_EQ(recorder_.notes.size(), 2u);
  EXPECT_EQ(recorder_.notes[0], "'passes' hit the limit on processes: the rest runs in a fresh context");
}

TEST_F(PlanRunTest, side_by_side_what_needs_each_other_stays_together) {
  share_log();
  options_.parallel = 4;
  plan_.setup = {step_of("s", "echo S >> /log/order")};
  plan_.teardown = {step_of("t", "echo T >> /log/order")};
  plan_.cases = {case_of("a", {"touch /tmp/a"}), case_of("b", {"test ! -e /tmp/a"}), case_of("c", {"test -e /tmp/a"}, {on("a")}),
                 case_of("d", {"test ! -e /tmp/a; echo 5"}), case_of("e", {"test \"$FIVE\" = 5"})};
  plan_.cases[3].steps[0].extractions = {{"FIVE", "", ""}};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed passed passed");
  std::string order = log("order");
  EXPECT_EQ(std::count(order.begin(), order.end(), 'S'), 3);
  EXPECT_EQ(std::count(order.begin(), order.end(), 'T'), 3);
}

TEST_F(PlanRunTest, a_thousand_contexts_leave_nothing) {
  options_.parallel = 4;
  for (int i = 0; i < 1000; ++i)
    plan_.cases.push_back(case_of(std::to_string(i), {fmt::format("test ! -e /tmp/x; touch /tmp/x; echo {}", i)}));
  const PlanResult result = run_it();
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(result.cases[i].status, PlanStatus::passed) << result.cases[i].reason;
    ASSERT_EQ(out(result, i), fmt::format("{}\n", i));
  }
  EXPECT_EQ(recorder_.finished.size(), 1000u);
}

TEST_F(PlanRunTest, a_flood_is_kept_at_both_ends_and_heard_whole) {
  options_.capture_bytes = 100'000;
  plan_.cases = {case_of("a", {"echo begin; head -c 20000000 /dev/zero | tr '\\0' x; echo end"}), case_of("b", {"true"})};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed");
  EXPECT_TRUE(result.cases[0].steps[0].truncated);
  EXPECT_LT(out(result, 0).size(), 101'000u);
  EXPECT_TRUE(out(result, 0).starts_with("begin\n"));
  EXPECT_TRUE(out(result, 0).ends_with("end\n"));
  EXPECT_EQ(recorder_.bytes, 20'000'010u);
}

TEST_F(PlanRunTest, outputs_of_many_cases_are_bounded_in_all) {
  for (int i = 0; i < 40; ++i) plan_.cases.push_back(case_of(std::to_string(i), {"head -c 10000000 /dev/zero | tr '\\0' x"}));
  const PlanResult result = run_it();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    kept += out(result, i).size();
    EXPECT_EQ(recorder_.finished.at(i).steps[0].out.size(), 10'000'000u);
    EXPECT_EQ(result.cases[i].steps[0].truncated, out(result, i).size() != 10'000'000u);
  }
  EXPECT_LT(kept, 66u << 20);
  EXPECT_GT(kept, 50u << 20);
}

TEST_F(PlanRunTest, a_signal_gives_what_finished_and_runs_the_teardown) {
  share_log();
  in_child([&] {
    make_engine();
    ASSERT_TRUE(engine_->cancel_on_signals());
    plan_.teardown = {step_of("t", "echo torn down > /log/t")};
    plan_.cases = {case_of("a", {"true"}), case_of("b", {"echo on; exec sleep 1000"}), case_of("c", {"true"})};
    plan_.cases[1].steps.push_back(step_of("own", "echo own > /log/own", PlanStep::Type::teardown));
    recorder_.on_output = [] { ::kill(::getpid(), SIGTERM); };
    const PlanResult result = run_it();
    EXPECT_EQ(statuses(result), "passed not_run(interrupted (SIGTERM)) not_run(interrupted (SIGTERM))");
    EXPECT_EQ(recorder_.text, "<00><1");
    EXPECT_EQ(result.teardown.at(0).status, PlanStatus::passed);
    EXPECT_EQ(log("t"), "torn down\n");
    EXPECT_EQ(log("own"), "own\n");
    engine_.reset();
  });
}

TEST_F(PlanRunTest, changed_files_are_kept_a_directory_a_case) {
  fs::create_directory(dir_ / "lower");
  Mount work{.kind = Mount::Kind::overlay, .target = "/work", .lower = {dir_ / "lower"}, .owned = true};
  options_.base.mounts.push_back(work);
  options_.base.cwd = "/work";
  options_.collect_to = dir_ / "kept";
  plan_.cases = {case_of("a/../b", {"echo one > one; ln -s /etc/passwd link"}), case_of("c", {"cat one; echo two > two; rm one"}),
                 case_of("none", {"true"})};
  const PlanResult result = run_it();
  EXPECT_EQ(statuses(result), "passed passed passed");
  EXPECT_TRUE(recorder_.notes.empty()) << recorder_.notes[0];
  EXPECT_EQ(read(dir_ / "kept/001-a_.._b/work/one"), "one\n");
  EXPECT_EQ(fs::read_symlink(dir_ / "kept/001-a_.._b/work/link"), "/etc/passwd");
  EXPECT_EQ(read(dir_ / "kept/002-c/work/two"), "two\n");
  EXPECT_FALSE(fs::exists(dir_ / "kept/002-c/work/one"));
  EXPECT_FALSE(fs::exists(dir_ / "kept/003-none"));
}

TEST_F(PlanRunTest, options_that_make_no_sense_are_refused) {
  plan_.cases = {case_of("a", {"true"})};
  options_.base.executor = "nobody";
  const auto result = run_plan(*engine_, plan_, options_, recorder_);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().what.find("nobody"), std::string::npos) << result.error().what;
}

TEST_F(PlanRunTest, a_context_that_can_not_be_made_is_the_plans_problem) {
  plan_.cases = {case_of("a", {"true"}), case_of("b", {"true"})};
  options_.base.cwd = "/proc/no/such";
  auto result = run_plan(*engine_, plan_, options_, recorder_);
  if (!result) return;  // told at once, as well
  for (const CaseResult& one : result->cases) EXPECT_NE(one.status, PlanStatus::passed);
}

TEST_F(PlanRunTest, a_shell_that_is_not_there_is_told) {
  plan_.cases = {case_of("a", {"true"})};
  options_.shell = "/bin/no-such-shell";
  const PlanResult result = run_it();
  EXPECT_NE(result.cases[0].status, PlanStatus::passed);
  EXPECT_NE(result.cases[0].reason.find("no-such-shell"), std::string::npos) << result.cases[0].reason;
}

}  // namespace
}  // namespace casemate
