// Contexts on the native executor: cells in which commands run one after the other.
#include <csignal>

#include "context_scratch.h"

namespace casemate {
namespace {

using Kind = Outcome::Kind;

TEST_F(ContextTest, FilesEnvironmentAndDirectoryAreTheContexts) {
  Job job = base_job();
  job.cwd = "/root";
  const auto context = open(job);
  ASSERT_TRUE(context);
  EXPECT_EQ(output(*context, sh("pwd; echo one > file; echo $FROM_JOB $FROM_COMMAND")), "/root\njob\n");
  ContextCommand second = sh("pwd; cat /root/file; echo $FROM_JOB $FROM_COMMAND");
  second.cwd = "/tmp";
  second.env = {{"FROM_COMMAND", "command"}, {"FROM_JOB", "other"}};
  EXPECT_EQ(output(*context, std::move(second)), "/tmp\none\nother command\n");
  EXPECT_EQ(output(*context, sh("pwd; cat file; echo $FROM_JOB")), "/root\none\njob\n");
  EXPECT_TRUE(context->alive());
}

TEST_F(ContextTest, EachCommandHasItsInputOutputAndStatus) {
  const auto context = open();
  ASSERT_TRUE(context);
  ContextCommand reads = sh("cat; echo to-err >&2; exit 3");
  reads.input = std::string(300'000, 'x');
  const JobResult result = run(*context, std::move(reads));
  EXPECT_EQ(words(result.outcome), "exited 3");
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_EQ(result.output.out.size(), 300'000u);
  EXPECT_EQ(result.output.err, "to-err\n");
  EXPECT_EQ(output(*context, sh("cat")), "") << "no input is the end of it";
  EXPECT_EQ(words(run(*context, sh("kill -SEGV $$")).outcome), "signaled 11 (SIGSEGV)");
  EXPECT_GT(run(*context, py("sum(range(3000000))")).resources.user_cpu.count(), 1000);
}

TEST_F(ContextTest, WhatCantBeStartedIsSaidAndTheNextOneRuns) {
  const auto context = open();
  ASSERT_TRUE(context);
  EXPECT_EQ(words(run(*context, words_of({"no-such-program"})).outcome), "setup failed (execve no-such-program: ENOENT)");
  ContextCommand lost = sh("true");
  lost.cwd = "/no/such";
  EXPECT_EQ(words(run(*context, std::move(lost)).outcome), "setup failed (chdir /no/such: ENOENT)");
  JobListener nobody;
  const auto never = [](const JobResult&) { FAIL(); };
  ContextCommand relative = sh("true");
  relative.cwd = "tmp";
  EXPECT_FALSE(context->start(std::move(relative), nobody, never));
  EXPECT_FALSE(context->start({}, nobody, never)) << "no argv";
  EXPECT_FALSE(context->start(words_of({std::string("a\0b", 3)}), nobody, never));
  EXPECT_EQ(output(*context, sh("echo on")), "on\n");
}

TEST_F(ContextTest, OneCommandAtATime) {
  const auto context = open();
  ASSERT_TRUE(context);
  JobListener nobody;
  std::optional<JobResult> result;
  ASSERT_TRUE(context->start(sh("sleep 0.2"), nobody, [&](JobResult ended) { result = std::move(ended); }));
  EXPECT_FALSE(context->start(sh("true"), nobody, [](const JobResult&) { FAIL(); }));
  EXPECT_FALSE(collect(*context, {"/"}, dir_ / "out"));
  ASSERT_TRUE(turn_until([&] { return result.has_value(); }));
  EXPECT_TRUE(result->outcome.succeeded());
}

// ---- what a command leaves running

constexpr const char* kServe = R"(
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"served")
server = http.server.HTTPServer(("127.0.0.1", 8080), Answer)
if os.fork() == 0:
    server.serve_forever()
)";
constexpr const char* kFetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080').read().decode())";

TEST_F(ContextTest, AServiceStaysForTheNextCommandsAndIsNamedOnce) {
  const auto context = open();
  ASSERT_TRUE(context);
  const JobResult started = run(*context, py(kServe));
  EXPECT_TRUE(started.outcome.succeeded()) << words(started.outcome) << started.output.err;
  ASSERT_EQ(started.leftovers.size(), 1u);
  EXPECT_TRUE(started.leftovers[0].name.starts_with("python3")) << started.leftovers[0].name;
  // It says each request to the stderr that it got from its command, which has ended.
  for (int i = 0; i < 3; ++i) {
    const JobResult asked = run(*context, py(kFetch));
    EXPECT_EQ(asked.output.out, "served\n") << words(asked.outcome) << asked.output.err;
    EXPECT_EQ(asked.leftovers.size(), 0u);
  }
}

TEST_F(ContextTest, AServiceThatWritesForEverHoldsNobodyUp) {
  const auto context = open();
  ASSERT_TRUE(context);
  const JobResult started = run(*context, sh("yes service & sleep 0.1; echo done"));
  EXPECT_TRUE(started.outcome.succeeded());
  EXPECT_EQ(started.leftovers.size(), 1u);
  EXPECT_EQ(output(*context, sh("echo next; sleep 0.1; pgrep -c yes || true")).substr(0, 5), "next\n");
}

TEST_F(ContextTest, ATimeoutEndsTheCommandsSessionAndNothingElse) {
  const auto context = open();
  ASSERT_TRUE(context);
  run(*context, sh("sleep 1001 & setsid sleep 1002 & sleep 0.1"));
  ContextCommand slow = sh("sleep 1003 & setsid sleep 1004 & (sleep 1005 & sleep 1006) & trap '' TERM INT HUP; sleep 1007");
  slow.wall = milliseconds(300);
  const JobResult result = run(*context, std::move(slow));
  EXPECT_EQ(word(result.outcome.kind), "timed out") << result.output.err;
  EXPECT_EQ(result.outcome.detail, "wall time 300 ms");
  EXPECT_EQ(output(*context, sh("for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $p; done 2>/dev/null | grep -o 'sleep 100[0-9]' | sort")),
            "sleep 1001\nsleep 1002\nsleep 1004\n");
}

TEST_F(ContextTest, SignalsGoToTheCommandAlone) {
  const auto context = open();
  ASSERT_TRUE(context);
  run(*context, sh("sleep 1001 & sleep 0.05"));
  Hears hears;
  hears.on_output = [&](Stream, std::string_view) { context->signal(SIGTERM); };
  const JobResult result =
      run(*context, sh("trap 'echo caught; exit 7' TERM; sleep 1002 & while ! grep -q sleep /proc/$!/comm; do :; done; echo ready; wait"),
          &hears);
  EXPECT_EQ(words(result.outcome), "exited 7") << result.output.out;
  context->signal(SIGTERM);  // to nobody
  EXPECT_EQ(output(*context, sh("while [ $(cat /proc/[0-9]*/comm | grep -c sleep) != 1 ]; do :; done; echo one")), "one\n");
}

TEST_F(ContextTest, CancelEndsTheCommandAndTheContextStays) {
  const auto context = open();
  ASSERT_TRUE(context);
  Hears hears;
  hears.on_output = [&](Stream, std::string_view) { context->cancel(); };
  EXPECT_EQ(word(run(*context, sh("echo ready; sleep 1000"), &hears).outcome.kind), "cancelled");
  context->cancel();  // nothing
  EXPECT_EQ(output(*context, sh("echo on")), "on\n");
  hears.on_output = [&](Stream, std::string_view) { engine_->cancel_current(); };
  EXPECT_EQ(word(run(*context, sh("echo ready; sleep 1000"), &hears).outcome.kind), "cancelled");
  EXPECT_EQ(output(*context, sh("echo on")), "on\n");
}

// ---- terminals

TEST_F(ContextTest, ATerminalIsOneInside) {
  const auto context = open();
  ASSERT_TRUE(context);
  for (int i = 0; i < 2; ++i) {
    const JobResult result =
        run(*context, typed(sh("tty; stty size; python3 -c 'import sys; print(sys.stdin.isatty(), sys.stderr.isatty())'; "
                               "ls -l $(tty) > /dev/null && echo mine > /dev/tty; echo err >&2"),
                            ""));
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome);
    EXPECT_EQ(result.output.out, "/dev/pts/0\r\n24 80\r\nTrue True\r\nmine\r\nerr\r\n");
    EXPECT_EQ(result.output.err, "");
  }
  EXPECT_EQ(run(*context, typed(sh("echo $TERM"), "")).output.out, "xterm\r\n");
  ContextCommand told = typed(sh("echo $TERM"), "");
  told.env["TERM"] = "vt100";
  EXPECT_EQ(run(*context, std::move(told)).output.out, "vt100\r\n");
  EXPECT_EQ(run(*context, sh("echo ${TERM-none}")).output.out, "none\n");
  EXPECT_NE(run(*context, sh("tty")).outcome.code, 0);
}

TEST_F(ContextTest, InputIsTypedAndHasAnEnd) {
  const auto context = open();
  ASSERT_TRUE(context);
  const JobResult echoed = run(*context, typed(sh("stty -echo; cat"), "one\ntwo"));
  EXPECT_TRUE(echoed.outcome.succeeded()) << words(echoed.outcome) << echoed.output.out;
  EXPECT_NE(echoed.output.out.find("one\r\n"), std::string::npos) << echoed.output.out;
  EXPECT_TRUE(echoed.output.out.ends_with("two")) << echoed.output.out;
  std::string lines;
  for (int i = 0; i < 20'000; ++i) lines += "line " + std::to_string(i) + "\n";
  EXPECT_NE(run(*context, typed(sh("stty -echo; wc -l"), lines)).output.out.find("20000"), std::string::npos);
  EXPECT_EQ(words(run(*context, typed(sh("kill -INT $$"), "")).outcome), "signaled 2 (SIGINT)");
}

TEST_F(ContextTest, TypedControlCharactersAreSignals) {
  const auto context = open();
  ASSERT_TRUE(context);
  for (const char* script : {"sleep 5", "exec sleep 5", "sleep 5; exit 0"}) {
    const JobResult result = run(*context, typed(sh(script), "\x03"));
    EXPECT_EQ(words(result.outcome), "signaled 2 (SIGINT)") << script << result.output.out;
  }
  const JobResult result = run(*context, typed(words_of({"sleep", "5"}), "\x03"));
  EXPECT_EQ(words(result.outcome), "signaled 2 (SIGINT)") << result.output.out;
}

TEST_F(ContextTest, ATerminalBelongsToTheCommandsUser) {
  if (!has_ids()) GTEST_SKIP() << "this account has one id only";
  Job job = base_job();
  job.user = {1000, 1000};
  const auto context = open(job);
  ASSERT_TRUE(context);
  EXPECT_EQ(run(*context, typed(sh("stat -c %u $(tty); echo open > $(tty)"), "")).output.out, "1000\r\nopen\r\n");
}

TEST_F(ContextTest, ServicesOfATerminalAreHungUpOn) {
  const auto context = open();
  ASSERT_TRUE(context);
  const JobResult result = run(*context, typed(sh("trap '' HUP; sleep 1001 & echo done"), ""));
  EXPECT_TRUE(result.outcome.succeeded());
  EXPECT_NE(result.output.out.find("done\r\n"), std::string::npos);
  EXPECT_EQ(run(*context, typed(sh("tty"), "")).outcome.code, 0);
}

// ---- changes

TEST_F(ContextTest, EachCommandsChangesAreItsOwn) {
  const auto context = open(image_job());
  ASSERT_TRUE(context);
  using Lines = std::vector<std::string>;
  EXPECT_EQ(changes(*context, "true"), Lines{});
  EXPECT_EQ(changes(*context, "echo new > /srv/new; echo more >> /srv/file; mkdir /made; ln -s a /made/link"),
            (Lines{"+made", "+made/link", "*srv/file", "+srv/new"}));
  EXPECT_EQ(changes(*context, "cat /srv/new; touch /srv/new /srv/other; chmod 644 /srv/other"), Lines{});
  EXPECT_EQ(changes(*context, "echo mew > /srv/new; chmod 600 /srv/file; ln -sf b /made/link; rm /srv/other"),
            (Lines{"*made/link", "*srv/file", "*srv/new", "-srv/other"}));
  EXPECT_EQ(changes(*context, "echo other > /srv/other"), Lines{"+srv/other"});
  EXPECT_EQ(changes(*context, "rm -r /made /srv/new"), (Lines{"-made", "-srv/new"}));
  EXPECT_EQ(changes(*context, "rm -r /srv"), Lines{"-srv"});
  EXPECT_EQ(changes(*context, "mkdir /srv; echo again > /srv/file"), (Lines{"+srv", "+srv/file"}));
  EXPECT_EQ(changes(*context, "printf 'file\\n' > /srv/file"), Lines{"*srv/file"}) << "as the image has it, but not as it was before";
  EXPECT_EQ(changes(*context, "rm -r /srv; echo x > /srv"), Lines{"*srv"});
}

TEST_F(ContextTest, ChangesHaveDigestsOfWhatIsThereNow) {
  const auto context = open(image_job());
  ASSERT_TRUE(context);
  ContextCommand writes = sh("printf abc > /srv/new");
  writes.changes = true;
  const JobResult result = run(*context, std::move(writes));
  ASSERT_EQ(result.changes.size(), 1u);
  EXPECT_EQ(result.changes[0].digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(result.changes[0].size, 3u);
}

TEST_F(ContextTest, WhatACommandWithoutChangesDidIsNotTheNextOnes) {
  const auto context = open(image_job());
  ASSERT_TRUE(context);
  EXPECT_EQ(changes_of(run(*context, sh("echo one > /srv/one"))), std::vector<std::string>{});
  EXPECT_EQ(changes(*context, "echo two > /srv/two"), std::vector<std::string>{"+srv/two"});
}

TEST_F(ContextTest, TheOverlaysOfImageHostTellTheirChanges) {
  fs::create_directories(dir_ / "lower");
  std::ofstream(dir_ / "lower/file") << "text";
  Job job = base_job();
  for (const char* target : {"/work", "/empty"}) job.mounts.push_back({.kind = Mount::Kind::overlay, .target = target, .owned = true});
  job.mounts[0].lower = {dir_ / "lower"};
  const auto context = open(job);
  ASSERT_TRUE(context);
  EXPECT_EQ(changes(*context, "echo x > /work/file; mkdir /empty/d; echo y > /empty/d/y; echo z > /tmp/z"),
            (std::vector<std::string>{"+empty/d", "+empty/d/y", "*work/file"}));
  const auto copied = collect(*context, {"/empty"}, dir_ / "out");
  ASSERT_TRUE(copied) << copied.error().what;
  EXPECT_EQ(changes_of(*copied), (std::vector<std::string>{"+empty/d", "+empty/d/y"}));
  EXPECT_EQ(read(dir_ / "out/empty/d/y"), "y\n");
  EXPECT_FALSE(fs::exists(dir_ / "out/work"));
}

TEST_F(ContextTest, TheOverlaysOfAnImageTellTheirsToo) {
  Job job = image_job();
  job.mounts.push_back({.kind = Mount::Kind::overlay, .target = "/srv/work", .owned = true});
  const auto context = open(job);
  ASSERT_TRUE(context);
  EXPECT_EQ(changes(*context, "echo x > /srv/work/x; echo y > /srv/file; mkdir /srv/z"),
            (std::vector<std::string>{"*srv/file", "+srv/work/x", "+srv/z"}));
  const auto copied = collect(*context, {"/srv"}, dir_ / "out");
  ASSERT_TRUE(copied) << copied.error().what;
  EXPECT_EQ(changes_of(*copied), (std::vector<std::string>{"*srv/file", "+srv/work/x", "+srv/z"}));
  EXPECT_EQ(read(dir_ / "out/srv/work/x"), "x\n");
  EXPECT_EQ(read(dir_ / "out/srv/file"), "y\n");
}

TEST_F(ContextTest, CollectCopiesWhatWasMadeBelowThePaths) {
  Job job = image_job();
  job.mounts.push_back({.kind = Mount::Kind::tmpfs, .target = "/scratch/deep"});
  const auto context = open(job);
  ASSERT_TRUE(context);
  run(*context, sh("echo more >> /srv/file; rm /srv/other; mkdir -p /made/in /else; echo x > /made/in/x; ln -s /etc/shadow /made/link; "
                   "echo y > /else/y"));
  auto copied = collect(*context, {"/"}, dir_ / "all");
  ASSERT_TRUE(copied) << copied.error().what;
  EXPECT_EQ(copied->collect_error, "");
  EXPECT_EQ(changes_of(*copied),
            (std::vector<std::string>{"+else", "+else/y", "+made", "+made/in", "+made/in/x", "+made/link", "*srv/file"}));
  EXPECT_EQ(read(dir_ / "all/srv/file"), "file\nmore\n");
  EXPECT_EQ(fs::read_symlink(dir_ / "all/made/link"), "/etc/shadow");
  copied = collect(*context, {"/made/in/x", "/srv"}, dir_ / "some");
  ASSERT_TRUE(copied) << copied.error().what;
  EXPECT_EQ(changes_of(*copied), (std::vector<std::string>{"+made/in/x", "*srv/file"}));
  EXPECT_EQ(read(dir_ / "some/made/in/x"), "x\n");
  EXPECT_FALSE(fs::exists(dir_ / "some/made/link"));
  EXPECT_FALSE(collect(*context, {"relative"}, dir_ / "none"));
  copied = collect(*context, {"/no/such"}, "");
  ASSERT_TRUE(copied);
  EXPECT_EQ(copied->changes.size(), 0u);
  EXPECT_EQ(output(*context, sh("echo on")), "on\n");
}

TEST_F(ContextTest, NobodyHearsOfACopyAfterTheEnd) {
  auto context = open();
  ASSERT_TRUE(context);
  bool heard = false;
  context->collect({"relative"}, "", [&](const Result<JobResult>&) { heard = true; });
  context.reset();
  const auto other = open();
  ASSERT_TRUE(other);
  EXPECT_EQ(output(*other, sh("echo on")), "on\n");
  EXPECT_FALSE(heard);
}

// ---- the end

TEST_F(ContextTest, AContextWhoseFirstProcessIsKilledIsLost) {
  const auto context = open();
  ASSERT_TRUE(context);
  Hears hears;
  hears.on_output = [&](Stream, std::string_view) {
    // The only child that there is.
    for (const auto& entry : fs::directory_iterator("/proc/self/task")) {
      std::istringstream children(read(entry.path() / "children"));
      for (pid_t pid; children >> pid;) ::kill(pid, SIGKILL);
    }
  };
  const JobResult result = run(*context, sh("echo ready; sleep 1000"), &hears);
  EXPECT_EQ(result.outcome.kind, Kind::lost) << words(result.outcome);
  EXPECT_EQ(result.outcome.detail, "its first process was killed by signal 9");
  EXPECT_FALSE(context->alive());
  JobListener nobody;
  const auto again = context->start(sh("true"), nobody, [](const JobResult&) { FAIL(); });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().what, "the context has ended: its first process was killed by signal 9");
}

TEST_F(ContextTest, TheDestructorEndsAll) {
  auto context = open();  // an engine keeps the hierarchies of cgroups open that it has used
  context.reset();
  const Traces before;
  context = open();
  ASSERT_TRUE(context);
  run(*context, sh("sleep 1001 & setsid sleep 1002 & sleep 0.05"));
  JobListener nobody;
  ASSERT_TRUE(context->start(sh("sleep 1000"), nobody, [](const JobResult&) { FAIL(); }));
  context.reset();
  EXPECT_FALSE(has_children());
  expect_same(before, Traces());
  // In the word that it is there, and in the word that a command has ended.
  bool opened = false;
  ASSERT_TRUE(engine_->open_context(base_job(), [&](const Result<std::unique_ptr<Context>>& made) { opened = made.has_value(); }));
  ASSERT_TRUE(turn_until([&] { return opened; }));
  context = open();
  ASSERT_TRUE(context);
  ASSERT_TRUE(context->start(sh("true"), nobody, [&](const JobResult&) { context.reset(); }));
  ASSERT_TRUE(turn_until([&] { return !context; }));
  expect_same(before, Traces());
}

TEST_F(ContextTest, ItEndsWithTheEngine) {
  const auto context = open();
  ASSERT_TRUE(context);
  run(*context, sh("yes & sleep 0.05"));
  JobListener nobody;
  ASSERT_TRUE(context->start(sh("sleep 1000"), nobody, [](const JobResult&) { FAIL(); }));
  ASSERT_TRUE(engine_->open_context(base_job(), [](const Result<std::unique_ptr<Context>>&) { FAIL(); }));
  engine_.reset();
  EXPECT_FALSE(has_children());
  EXPECT_FALSE(context->alive());
  EXPECT_FALSE(context->start(sh("true"), nobody, [](const JobResult&) { FAIL(); }));
}

TEST_F(ContextTest, WhatMakesNoSenseIsSaidAtOnce) {
  Job job = base_job();
  job.mounts.push_back({.source = "/no/such/place", .target = "/x"});
  const auto none = try_open(job);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  job = base_job();
  job.executor = "nobody";
  EXPECT_FALSE(try_open(job));
}

TEST_F(ContextTest, AThousandCommandsLeaveNoTrace) {
  const auto context = open(image_job());
  ASSERT_TRUE(context);
  const auto some = [&](int commands) {
    for (int i = 0; i < commands; ++i) {
      ContextCommand command = i % 10 == 0 ? typed(words_of({"/bin/true"}), "") : words_of({"/bin/true"});
      command.changes = i % 5 == 0;
      ASSERT_TRUE(run(*context, std::move(command)).outcome.succeeded());
    }
  };
  some(100);
  const Traces before;
  const std::uint64_t resident = resident_bytes();
  some(1000);
  EXPECT_LT(resident_bytes() - std::min(resident_bytes(), resident), 2u << 20);
  expect_same(before, Traces());
  EXPECT_EQ(output(*context, sh("ls /proc | grep -c '^[0-9]'")), "4\n") << "init, sh, ls, grep";
}

}  // namespace
}  // namespace casemate
