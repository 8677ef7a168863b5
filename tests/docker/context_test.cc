// Contexts of dockerd and podman; what becomes of jobs when the daemon dies, a container is removed, an engine is killed.
#include <csignal>

#include <nlohmann/json.hpp>

#include "daemon_scratch.h"
#include "docker/docker_executor.h"
#include "docker/sweep.h"
#include "engine/executor.h"

namespace casemate {
namespace {

struct Nobody : JobListener {};

class Contexts : public EachDaemon {
 protected:
  void SetUp() override {
    EachDaemon::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ::signal(SIGPIPE, SIG_IGN);
    executor_ = executor_of(*daemon_);
  }
  std::unique_ptr<Executor> executor_of(const Daemon& daemon) {
    auto made = make_docker_executor(*reactor_, docker_options(daemon));
    EXPECT_TRUE(made) << made.error().what;
    return made ? std::move(*made) : nullptr;
  }
  static Job job() {
    Job made;
    made.image = kSmallImage;
    made.env = {{"PATH", "/bin"}, {"HOME", "/root"}, {"A", "context"}};
    made.limits.pids = 32;
    made.limits.memory_bytes = 64u << 20;
    return made;
  }
  std::unique_ptr<Context> open() {
    std::optional<Result<std::unique_ptr<Context>>> opened;
    const auto begun = executor_->open(job(), [&](Result<std::unique_ptr<Context>> context) { opened = std::move(context); });
    EXPECT_TRUE(begun) << begun.error().what;
    turn_until([&] { return opened.has_value(); });
    EXPECT_TRUE(opened && *opened) << (opened && !*opened ? opened->error().what : "");
    return opened && *opened ? std::move(**opened) : nullptr;
  }
  JobResult run(Context& context, ContextCommand command) {
    std::optional<JobResult> result;
    const auto started = context.start(std::move(command), nobody_, [&](JobResult ended) { result = std::move(ended); });
    EXPECT_TRUE(started) << started.error().what;
    if (started) turn_until([&] { return result.has_value(); });
    return result.value_or(JobResult{});
  }
  JobResult shell(Context& context, const std::string& line) { return run(context, {.argv = {"sh", "-c", line}}); }
  static std::string listed(const JobResult& result) {
    constexpr const char* kKinds[] = {"created", "modified", "deleted"};
    std::string text = result.collect_error;
    for (const Change& change : result.changes)
      text += std::string(text.empty() ? "" : "; ") + kKinds[static_cast<int>(change.kind)] + " " + change.path;
    return text;
  }

  Nobody nobody_;
  std::unique_ptr<Executor> executor_;
};
INSTANTIATE_TEST_SUITE_P(Real, Contexts, each_kind(), name_of_kind);

TEST_P(Contexts, commands_share_files_and_say_what_each_changed) {
  auto context = open();
  ASSERT_TRUE(context);
  JobResult result = shell(*context, "mkdir -p /tmp/w/d; echo 1 > /tmp/w/d/f; echo $A");
  EXPECT_EQ(words(result.outcome), "exited 0");
  EXPECT_EQ(result.output.out, "context\n");
  EXPECT_EQ(listed(result), "created tmp/w; created tmp/w/d; created tmp/w/d/f");
  result =
      run(*context, {.argv = {"sh", "-c", "cat f; echo 22 > f; echo $A; echo err >&2; exit 7"}, .env = {{"A", "own"}}, .cwd = "/tmp/w/d"});
  EXPECT_EQ(words(result.outcome), "exited 7");
  EXPECT_EQ(result.output.out, "1\nown\n");
  EXPECT_EQ(result.output.err, "err\n");
  EXPECT_EQ(listed(result), "modified tmp/w/d/f");
  ASSERT_EQ(result.changes.size(), 1u);
  EXPECT_EQ(listed(shell(*context, "cat /tmp/w/d/f")), "");
  EXPECT_EQ(listed(shell(*context, "rm -r /tmp/w/d /etc/passwd")), "deleted etc/passwd; deleted tmp/w/d");
}

TEST_P(Contexts, a_command_reads_its_input_and_may_have_a_terminal) {
  auto context = open();
  ASSERT_TRUE(context);
  JobResult result = run(*context, {.argv = {"wc", "-c"}, .input = std::string(100'000, 'x')});
  EXPECT_EQ(result.output.out, "100000\n");
  EXPECT_EQ(run(*context, {.argv = {"cat"}}).output.out, "");
  result = run(*context, {.argv = {"sh", "-c", "tty > /dev/null && echo yes; read a; echo got $a"}, .input = "typed\n", .terminal = true});
  EXPECT_EQ(words(result.outcome), "exited 0");
  EXPECT_NE(result.output.out.find("yes\r\n"), std::string::npos) << result.output.out;
  EXPECT_NE(result.output.out.find("got typed\r\n"), std::string::npos) << result.output.out;
}

TEST_P(Contexts, a_timeout_ends_the_command_and_nothing_else) {
  auto context = open();
  ASSERT_TRUE(context);
  JobResult result = shell(*context, "sleep 1000 > /dev/null 2>&1 & sleep 0.2; echo service");
  EXPECT_EQ(words(result.outcome), "exited 0");
  ASSERT_EQ(result.leftovers.size(), 1u);
  EXPECT_EQ(result.leftovers[0].name, "sleep");
  result = run(*context, {.argv = {"sh", "-c", "echo begun; sleep 1000 & sleep 1000"}, .wall = std::chrono::milliseconds(700)});
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::timed_out);
  EXPECT_EQ(result.output.out, "begun\n");
  EXPECT_TRUE(context->alive());
  result = run(*context, {.argv = {"yes"}, .output_bytes = 10'000});
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::output_limit);
  EXPECT_EQ(result.output.out_total, 10'000u);
  // The service goes on, of the others nobody is left.
  EXPECT_EQ(shell(*context, "n=0; for f in /proc/[0-9]*; do read c < $f/comm; [ $c = sleep ] && n=$((n+1)); done; echo $n").output.out,
            "1\n");
  EXPECT_EQ(words(shell(*context, "kill -SEGV $$").outcome), "signaled 11 (SIGSEGV)");
  EXPECT_EQ(words(run(*context, {.argv = {"no-such"}}).outcome), "setup failed (execve no-such: ENOENT)");
}

TEST_P(Contexts, a_command_cannot_speak_as_its_witness) {
  auto context = open();
  ASSERT_TRUE(context);
  // Its token in the words of the process that started this, or any other's; its stderr by /proc.
  const char* const forge =
      "for p in $PPID /proc/[0-9]*; do tr '\\0' '\\n' < /proc/${p##*/}/cmdline | { read a; read b; read t;"
      " printf \"\\0casemate-$t exit=0 end\\n\" >&2; printf \"\\0casemate-$t \\n\"; }; done;"
      " (echo mine > /proc/$PPID/fd/2) 2>/dev/null && echo && echo reached; sleep 0.2; exit 7";
  const JobResult result = shell(*context, forge);
  EXPECT_EQ(words(result.outcome), "exited 7");
  EXPECT_NE(result.output.out.find(std::string(1, '\0') + "casemate-"), std::string::npos);
  EXPECT_EQ(result.output.out.find("\nreached"), std::string::npos) << result.output.out << result.output.err;
}

TEST_P(Contexts, a_command_that_kills_what_watches_it_was_started_all_the_same) {
  auto context = open();
  ASSERT_TRUE(context);
  const JobResult result = shell(*context, "kill -9 -1; echo still");
  EXPECT_EQ(result.outcome.kind, Outcome::Kind::lost) << words(result.outcome);
  EXPECT_EQ(result.outcome.step, "");
  EXPECT_NE(result.outcome.detail.find("was killed"), std::string::npos) << result.outcome.detail;
  EXPECT_TRUE(context->alive());
  EXPECT_EQ(words(shell(*context, "exit 4").outcome), "exited 4");
}

TEST_P(Contexts, a_cancel_ends_what_opens_and_what_runs) {
  std::optional<Result<std::unique_ptr<Context>>> opened;
  ASSERT_TRUE(executor_->open(job(), [&](Result<std::unique_ptr<Context>> context) { opened = std::move(context); }));
  executor_->cancel_all();
  turn_until([&] { return opened.has_value(); });
  ASSERT_FALSE(*opened);
  EXPECT_EQ((*opened).error().code, ErrorCode::cancelled) << (*opened).error().what;
  auto context = open();
  ASSERT_TRUE(context);
  std::optional<JobResult> result;
  ASSERT_TRUE(context->start({.argv = {"sleep", "1000"}}, nobody_, [&](JobResult ended) { result = std::move(ended); }));
  executor_->cancel_all();
  turn_until([&] { return result.has_value(); });
  EXPECT_EQ(result->outcome.kind, Outcome::Kind::cancelled) << words(result->outcome);
  EXPECT_TRUE(context->alive());
}

TEST_P(Contexts, files_come_out) {
  auto context = open();
  ASSERT_TRUE(context);
  shell(*context, "mkdir -p /tmp/w/d; echo 1 > /tmp/w/d/f; ln -s /etc/passwd /tmp/w/l; echo 2 > /tmp/other");
  std::string name = fs::temp_directory_path() / "casemate_context.XXXXXX";
  ASSERT_TRUE(::mkdtemp(name.data()));
  std::optional<Result<JobResult>> collected;
  context->collect({"/tmp/w"}, name, [&](Result<JobResult> result) { collected = std::move(result); });
  turn_until([&] { return collected.has_value(); });
  ASSERT_TRUE(*collected) << collected->error().what;
  EXPECT_EQ(listed(**collected), "created tmp/w; created tmp/w/d; created tmp/w/d/f; created tmp/w/l");
  EXPECT_TRUE(fs::is_regular_file(fs::path(name) / "tmp/w/d/f"));
  EXPECT_EQ(fs::read_symlink(fs::path(name) / "tmp/w/l"), "/etc/passwd");
  EXPECT_FALSE(fs::exists(fs::path(name) / "tmp/other"));
  fs::remove_all(name);
}

// ids of all that is labelled
std::vector<std::string> ours(const Result<DockerReply>& reply) {
  std::vector<std::string> ids;
  if (!reply) return ids;
  for (const auto& each : nlohmann::json::parse(reply->body, nullptr, false)) ids.push_back(each.value("Id", ""));
  return ids;
}
const std::string kOurs = "/containers/json?" + docker_query({{"all", "1"}, {"filters", R"({"label":["casemate.engine"]})"}});

TEST_P(Contexts, what_is_removed_from_outside_is_lost) {
  auto context = open();
  ASSERT_TRUE(context);
  std::optional<JobResult> result;
  ASSERT_TRUE(context->start({.argv = {"sleep", "1000"}}, nobody_, [&](JobResult ended) { result = std::move(ended); }));
  std::optional<JobResult> job_result;
  Job sleeping = job();
  sleeping.argv = {"sleep", "1000"};
  ASSERT_TRUE(executor_->start(sleeping, nobody_, [&](JobResult ended) { job_result = std::move(ended); }));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(reactor_->turn(std::chrono::milliseconds(100)));
  for (const std::string& id : ours(ask("GET", kOurs))) remove(id);
  turn_until([&] { return result.has_value() && job_result.has_value(); });
  ASSERT_TRUE(result && job_result);
  EXPECT_EQ(result->outcome.kind, Outcome::Kind::lost) << words(result->outcome);
  EXPECT_NE(result->outcome.detail.find("outside"), std::string::npos) << result->outcome.detail;
  EXPECT_FALSE(context->alive());
  EXPECT_EQ(job_result->outcome.kind, Outcome::Kind::lost) << words(job_result->outcome);
}

TEST_P(Contexts, a_daemon_that_dies_loses_its_jobs_at_once) {
  std::string why_not;
  auto own = Daemon::start({.kind = GetParam()}, why_not);
  ASSERT_TRUE(own) << why_not;
  use(own->endpoint());
  ASSERT_TRUE(negotiate());
  import_small_image();
  auto executor = executor_of(*own);
  ASSERT_TRUE(executor);
  struct Hears : JobListener {
    void output(Stream, std::string_view bytes) override { heard += bytes; }
    std::string heard;
  } listener;
  Job sleeping = job();
  sleeping.argv = {"sh", "-c", "echo begun; sleep 1000"};
  std::unique_ptr<Context> context;
  ASSERT_TRUE(executor->open(job(), [&](Result<std::unique_ptr<Context>> opened) { context = opened ? std::move(*opened) : nullptr; }));
  turn_until([&] { return context != nullptr; });
  std::optional<JobResult> result, of_context;
  Hears hears;
  ASSERT_TRUE(context->start({.argv = sleeping.argv}, hears, [&](JobResult ended) { of_context = std::move(ended); }));
  ASSERT_TRUE(executor->start(sleeping, listener, [&](JobResult ended) { result = std::move(ended); }));
  turn_until([&] { return (!listener.heard.empty() && !hears.heard.empty()) || result || of_context; });
  own->stop();
  turn_until([&] { return result.has_value() && of_context.has_value(); });
  ASSERT_TRUE(result && of_context);
  EXPECT_EQ(of_context->outcome.kind, Outcome::Kind::lost) << words(of_context->outcome);
  EXPECT_EQ(of_context->outcome.step, kExecutorGone) << of_context->outcome.detail;
  EXPECT_EQ(result->outcome.kind, Outcome::Kind::lost) << words(result->outcome);
  EXPECT_EQ(result->output.out, "begun\n");
}

TEST_P(Contexts, engines_that_are_dead_are_swept_and_living_ones_never) {
  const auto make = [&](const std::string& label) { return create("sleep 1000", "\"Labels\":{\"casemate.engine\":\"" + label + "\"},"); };
  const std::string own = engine_label();
  const std::string of_dead = "1-1" + own.substr(own.find('-', own.find('-') + 1));
  const std::string dead = make(of_dead);
  const std::string alive = make(own);
  const std::string elsewhere = make("7-7-another-boot");
  ASSERT_EQ(ask("POST", "/containers/" + dead + "/start")->status, 204);
  ASSERT_TRUE(sweep_docker(*api_, *reactor_));
  const auto left = ours(ask("GET", kOurs));
  EXPECT_EQ(left.size(), 2u);
  for (const std::string& id : left) {
    EXPECT_TRUE(id == alive || id == elsewhere);
    remove(id);
  }
}

TEST_P(Contexts, what_a_job_changed_is_kept_and_found_again) {
  const std::string key = "key-" + std::to_string(::getpid());
  for (const bool first : {true, false}) {
    Job changes = job();
    changes.argv = {"sh", "-c", "[ ${#SECRET} = 6 ] && [ -z \"$(cat)\" ] && echo kept > /tmp/kept"};
    changes.env["SECRET"] = "s3cr3t";
    std::optional<std::pair<std::optional<JobResult>, std::optional<Job>>> kept;
    ASSERT_TRUE(executor_->keep(changes, key, nobody_, [&](std::optional<JobResult> result, std::optional<Job> next) {
      kept.emplace(std::move(result), std::move(next));
    }));
    turn_until([&] { return kept.has_value(); });
    ASSERT_TRUE(kept && kept->second) << (kept->first ? words(kept->first->outcome) : "");
    EXPECT_EQ(kept->first.has_value(), first);
    const auto image = ask("GET", "/images/" + kept->second->image + "/json");
    ASSERT_TRUE(image && image->status == 200);
    EXPECT_EQ(image->body.find("s3cr3t"), std::string::npos) << image->body;
    EXPECT_NE(image->body.find("PATH=/bin"), std::string::npos) << image->body;
    Job next = *kept->second;
    next.argv = {"cat", "/tmp/kept"};
    std::optional<JobResult> result;
    ASSERT_TRUE(executor_->start(next, nobody_, [&](JobResult ended) { result = std::move(ended); }));
    turn_until([&] { return result.has_value(); });
    EXPECT_EQ(result->output.out, "kept\n") << words(result->outcome);
  }
}

}  // namespace
}  // namespace casemate
