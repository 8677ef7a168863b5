#include "apps/agent/worker.h"

#include <gtest/gtest.h>

#include "apps/agent/clone.h"
#include "apps/agent/git_cell.h"
#include "apps/agent/tests_repository.h"
#include "apps/agent/tests_run.h"

namespace casemate {
namespace {

using Words = std::vector<std::string>;

WorkOrder order_21() {
  WorkOrder order;
  order.task = {.attempt = 21,
                .id = "",
                .repository_url = "https://host/x.git",
                .branch = "main",
                .laboratories = {1, 3},
                .connected_tests = {"test_a", "test_b[x-1]"}};
  order.timeout = std::chrono::seconds(600);
  order.proxy_timeout = std::chrono::seconds(10);
  order.tests_repo = "https://host/tests.git";
  order.tests_revision = "v1";
  order.tests_command = {"python", "run_tests.py"};
  order.limits = {.memory_bytes = 1 << 30, .pids = 512, .cpus = 1.5, .cpu_time = std::chrono::milliseconds(1500)};
  order.limits.disk_bytes = 7;
  order.limits.disk_inodes = 8;
  order.limits.open_files = 9;
  order.limits.file_bytes = 10;
  order.limits.output_bytes = 11;
  order.slots = 3;
  order.clone_network = Network::host;
  return order;
}

TEST(WorkOrder, SurvivesItsFile) {
  const WorkOrder order = order_21();
  const auto back = order_from_json(order_json(order));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->task.key(), "attempt 21");
  EXPECT_EQ(back->task.connected_tests, order.task.connected_tests);
  EXPECT_EQ(back->timeout, order.timeout);
  EXPECT_EQ(back->proxy_timeout, order.proxy_timeout);
  EXPECT_EQ(back->tests_repo, order.tests_repo);
  EXPECT_EQ(back->tests_revision, "v1");
  EXPECT_EQ(back->tests_command, order.tests_command);
  EXPECT_EQ(back->limits, order.limits);
  EXPECT_EQ(back->slots, 3u);
  EXPECT_EQ(back->clone_network, Network::host);
  EXPECT_FALSE(back->allow_file_urls);
  EXPECT_EQ(back->isolation, "run");
  EXPECT_EQ(order_json(*back), order_json(order));
}

TEST(WorkOrder, WithNoLimits) {
  WorkOrder order = order_21();
  order.limits = {};
  const auto back = order_from_json(order_json(order));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->limits, Limits{});
}

// A branch that was dropped for what it was must not become the default one.
TEST(WorkOrder, WithNoBranchIsRefused) {
  WorkOrder order = order_21();
  order.task.branch = "";
  EXPECT_FALSE(order_from_json(order_json(order)));
}

TEST(WorkOrder, DamagedIsAnError) {
  const std::string whole = order_json(order_21());
  for (std::size_t size = 0; size + 2 < whole.size(); size += 7) EXPECT_FALSE(order_from_json(whole.substr(0, size))) << size;
  for (const char* name : {"\"task\"", "\"limits\"", "\"tests_command\"", "\"clone_network\""}) {
    std::string other = whole;
    other.replace(other.find(name) + 1, 1, "_");
    EXPECT_FALSE(order_from_json(other)) << name;
  }
}

TEST(WorkOrder, ATaskThatIsNotTakenAsItIsIsAnError) {
  WorkOrder order = order_21();
  order.task.branch = "--upload-pack=x";
  EXPECT_FALSE(order_from_json(order_json(order)));
}

TEST(Steps, SurviveTheirFile) {
  const std::vector<StepReport> steps = {
      {.name = "clone", .took = std::chrono::microseconds(15), .commit = std::string(40, 'a'), .notes = {"a", "b"}},
      {.name = "tests", .cached = true, .problem = "no \x1b such"}};
  const auto back = steps_from_json(steps_json(steps));
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[0].name, "clone");
  EXPECT_EQ((*back)[0].took.count(), 15);
  EXPECT_EQ((*back)[0].commit, std::string(40, 'a'));
  EXPECT_EQ((*back)[0].notes, (Words{"a", "b"}));
  EXPECT_TRUE((*back)[1].cached);
  EXPECT_EQ((*back)[1].problem, steps[1].problem);
  EXPECT_FALSE(steps_from_json("[]"));
  EXPECT_FALSE(steps_from_json(R"({"steps":[1]})"));
}

TEST(TestsCommand, HasWhatTheContractSays) {
  WorkOrder order = order_21();
  const Words all = {"/casemate/env/bin/python",
                     "run_tests.py",
                     "--src",
                     "/work/project",
                     "--junit-xml",
                     "/work/report/report.xml",
                     "-k",
                     "test_a or test_b[x-1]",
                     "--lab-num",
                     "1",
                     "3",
                     "--proxy_timeout",
                     "10"};
  EXPECT_EQ(tests_command(order, "/casemate/env/bin/python"), all);
  order.task.laboratories.clear();
  order.task.connected_tests.clear();
  order.proxy_timeout = {};
  order.tests_command = {"./run", "python"};
  EXPECT_EQ(tests_command(order, "/p"), (Words{"./run", "python", "--src", "/work/project", "--junit-xml", "/work/report/report.xml"}));
}

JobResult git_that_said(std::string words) {
  JobResult result;
  result.outcome = {.kind = Outcome::Kind::exited, .code = 128};
  result.output.err = std::move(words);
  return result;
}

std::string words_of(const GitSource& source, const JobResult& result) {
  const auto failure = git_failure(source, result);
  return failure ? failure->what : "";
}

TEST(GitsWords, HaveTheirReasonFirst) {
  GitSource source;
  source.name = "http://host/a.git";
  EXPECT_EQ(words_of(source, git_that_said("Cloning into '.'...\nwarning: Could not find remote branch x to clone.\n"
                                           "fatal: Remote branch x not found in upstream origin\n")),
            "fatal: Remote branch x not found in upstream origin warning: Could not find remote branch x to clone.");
  EXPECT_EQ(words_of(source, git_that_said("a\nremote: no\nb\nerror: one\nc\nd\ne\nfatal: two\nf\n")),
            "remote: no error: one fatal: two e f");
  EXPECT_EQ(words_of(source, git_that_said("fatal: 1\nfatal: 2\nfatal: 3\nfatal: 4\nfatal: 5\nfatal: 6\nwarning: x\n")),
            "fatal: 2 fatal: 3 fatal: 4 fatal: 5 fatal: 6");
  EXPECT_EQ(words_of(source, git_that_said("what\nelse\n")), "what else");
}

TEST(GitsWords, NameTheOptionForARepositoryOfThisMachinesLoopback) {
  const JobResult refused = git_that_said("fatal: unable to access\n");
  for (const char* url : {"http://127.0.0.1:3000/x.git", "https://me:sesame@LocalHost/x", "git://[::1]:5/x", "ssh://git@127.1.2.3/x",
                          "git@localhost:x.git", "http://git.localhost/x", "http://localhost?x/y", "http://me@localhost#@example.org/"}) {
    const auto source = read_git_source(url, false);
    ASSERT_TRUE(source && source->loopback) << url;
    const auto told = git_failure(*source, refused, Network::outbound);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->what, source->name +
                              " is on the loopback of the machine that runs the tests, where git can look with --clone-network host "
                              "only: fatal: unable to access");
    EXPECT_EQ(told->what.find("sesame"), std::string::npos);
    EXPECT_EQ(git_failure(*source, refused, Network::host)->what, "fatal: unable to access");
  }
  for (const char* url : {"http://127.0.0.1.example.org/x", "http://localhost.example.org/x", "http://host/localhost/127.0.0.1",
                          "http://host/a@localhost", "http://host?a@localhost/", "http://host#@127.0.0.1"}) {
    const auto source = read_git_source(url, false);
    ASSERT_TRUE(source && !source->loopback) << url;
    EXPECT_EQ(git_failure(*source, refused, Network::outbound)->what, "fatal: unable to access");
  }
  JobResult well;
  well.outcome = {.kind = Outcome::Kind::exited};
  EXPECT_FALSE(git_failure(*read_git_source("http://localhost/x", false), well, Network::outbound));
}

TEST(Clone, IsOfOneCommitThatGitNames) {
  CloneRequest request;
  request.source.name = "http://host/a.git";
  const RunJob never = [](const Job&, const auto&) -> Result<JobResult> { return fail(ErrorCode::system, "a second clone"); };
  JobResult cloned;
  cloned.outcome = {.kind = Outcome::Kind::exited};
  cloned.output.out = std::string(40, 'b') + "\n";
  EXPECT_EQ(finish_clone(request, cloned, never).value_or(""), std::string(40, 'b'));
  for (const char* other : {"", "HEAD\n", "<script>\n"}) {
    cloned.output.out = other;
    const auto none = finish_clone(request, cloned, never);
    ASSERT_FALSE(none) << other;
    EXPECT_EQ(none.error().what, "repository http://host/a.git has no commit where its HEAD points");
  }
}

TEST(GitFailure, SaysWhoseDoingItIs) {
  GitSource source;
  source.name = "http://host/a.git";
  JobResult result;
  result.outcome = {Outcome::Kind::exited, 128, "", ""};
  const auto code_of = [&](const char* said) {
    result.output.err = said;
    return git_failure(source, result)->code;
  };
  EXPECT_EQ(code_of("fatal: repository 'http://host/a.git/' not found\n"), ErrorCode::not_found);
  EXPECT_EQ(code_of("fatal: could not read Username for 'https://host': terminal prompts disabled\n"), ErrorCode::not_found);
  EXPECT_EQ(code_of("fatal: reference is not a tree: 12345\n"), ErrorCode::not_found);
  EXPECT_EQ(code_of("fatal: unable to access 'http://host/': Could not resolve host: host\n"), ErrorCode::refused);
  EXPECT_TRUE(is_unreached(result));
  EXPECT_EQ(code_of("fatal: unable to access 'http://host/': The requested URL returned error: 503\n"), ErrorCode::refused);
  EXPECT_TRUE(is_unreached(result));
  EXPECT_EQ(code_of("fatal: unable to access 'http://host/': The requested URL returned error: 403\n"), ErrorCode::not_found);
  EXPECT_FALSE(is_unreached(result));
  EXPECT_EQ(code_of("fatal: write error: No space left on device\n"), ErrorCode::exhausted);
  // Names that somebody chose say nothing of this machine.
  EXPECT_EQ(code_of("fatal: repository 'http://host/x.git/Cannot fork/' not found\n"), ErrorCode::not_found);
  EXPECT_EQ(code_of("remote: error: x: Cannot fork\nfatal: clone of 'git://x' into submodule path '/work/Cannot fork' failed\n"),
            ErrorCode::refused);
  result.outcome.code = 137;
  EXPECT_EQ(code_of("Killed\n"), ErrorCode::internal);
  result.outcome.code = 127;
  EXPECT_EQ(code_of("git: 1: git: not found\n"), ErrorCode::internal);
  result.outcome = {Outcome::Kind::setup_failed, EMFILE, "mount", ""};
  EXPECT_EQ(git_failure(source, result)->code, ErrorCode::system);
  result.outcome = {Outcome::Kind::exited, 0, "", ""};
  EXPECT_FALSE(git_failure(source, result));
}

TEST(GradeOfARun, KnowsWhoseFaultItIsThatThereWasNone) {
  using Kind = Outcome::Kind;
  const auto fault_of = [](Outcome outcome) {
    TestsEnd end;
    end.result.outcome = std::move(outcome);
    return grade_run(order_21(), end).fault;
  };
  EXPECT_EQ(fault_of({Kind::setup_failed, EMFILE, "mount /proc", ""}), Fault::host);
  EXPECT_EQ(fault_of({Kind::setup_failed, EPERM, "mount /proc", ""}), Fault::worker);
  EXPECT_EQ(fault_of({Kind::setup_failed, ENOENT, "execve 'nosuchprogram'", ""}), Fault::tests);
  EXPECT_EQ(fault_of({Kind::setup_failed, E2BIG, "execve 'python'", ""}), Fault::none);
  EXPECT_EQ(fault_of({Kind::disk_limit, 0, "full", "the file system of /var/cache/x was nearly full, 1 MiB were left"}), Fault::worker);
  EXPECT_EQ(fault_of({Kind::disk_limit, 0, "bytes", "more than 1.0 GiB were written below /var/cache/x"}), Fault::none);
  for (const Kind kind : {Kind::signaled, Kind::out_of_memory, Kind::output_limit, Kind::too_many_processes})
    EXPECT_EQ(fault_of({kind, 9, "", ""}), Fault::none);
}

TEST(DiskLimit, IsTheRepositorysOrThisMachinesAndNamesNoPathOfIt) {
  GitSource source;
  source.name = "http://host/a.git";
  JobResult result;
  result.outcome = {Outcome::Kind::disk_limit, 0, "bytes", "more than 1.0 GiB were written below /var/cache/x"};
  EXPECT_EQ(git_failure(source, result)->what, "http://host/a.git is too large: more than 1.0 GiB on disk");
  TestsEnd end;
  end.result.outcome = result.outcome;
  EXPECT_EQ(grade_run(order_21(), end).error_details, "the tests' command was ended: disk limit (more than 64.0 MiB beside its report)");
  result.outcome = {Outcome::Kind::disk_limit, 0, "files", "more than 262144 files were made below /var/cache/x"};
  EXPECT_EQ(git_failure(source, result)->what, "http://host/a.git is too large: more than 262144 files");
  end.result.outcome = result.outcome;
  EXPECT_EQ(grade_run(order_21(), end).error_details, "the tests' command was ended: disk limit (more than 16384 files beside its report)");
  result.outcome = {Outcome::Kind::disk_limit, 0, "full", "the file system of /var/cache/x was nearly full, 1 MiB were left"};
  EXPECT_EQ(git_failure(source, result)->what,
            "there is no room for http://host/a.git: the disk of the machine that runs the tests is nearly full");
  end.result.outcome = result.outcome;
  EXPECT_EQ(grade_run(order_21(), end).error_details,
            "the tests' command was ended: the disk of the machine that runs the tests is nearly full");
}

TEST(SecondsText, HasNoNeedlessDigits) {
  EXPECT_EQ(seconds_text(std::chrono::milliseconds(600'000)), "600");
  EXPECT_EQ(seconds_text(std::chrono::milliseconds(500)), "0.5");
  EXPECT_EQ(seconds_text(std::chrono::milliseconds(12'345)), "12.345");
  EXPECT_EQ(seconds_text(std::chrono::milliseconds(1'010)), "1.01");
}

TEST(RepositoryName, TakesGitOffAsASuffixAlone) {
  EXPECT_EQ(repository_name("https://host/a/digit.git"), "digit");
  EXPECT_EQ(repository_name("https://host/a/digit.git/"), "digit");
  EXPECT_EQ(repository_name("https://host/a/git"), "git");
  EXPECT_EQ(repository_name("git@host:lab.git"), "lab");
  EXPECT_EQ(repository_name("justaname"), "justaname");
  EXPECT_EQ(repository_name("x.git.git"), "x.git");
  EXPECT_EQ(repository_name("https://host/.git"), "repository");
  EXPECT_EQ(repository_name(""), "repository");
}

TEST(AuthorityOf, EndsAtASlashAQuestionMarkOrANumberSign) {
  for (const char* rest : {"", "/", "/x@y", "?x@y", "#x@y", "?x/@y"}) {
    const std::string url = std::string("https://me:a@b@host:8443") + rest;
    EXPECT_EQ(authority_of(url), "me:a@b@host:8443") << rest;
  }
  EXPECT_EQ(authority_of("file:///x"), "");
  EXPECT_EQ(authority_of("git@host:x"), "");
}

TEST(GitSource, LeavesToGitWhatGitKnows) {
  for (const char* url :
       {"https://host/x.git", "git@host:x.git", "ssh://host/x", "ext::sh -c x", "host:x/y", "https://host?a:b@x", "https://host#a:b@x/"}) {
    const auto source = read_git_source(url, false);
    ASSERT_TRUE(source) << url;
    EXPECT_EQ(source->url, url);
    EXPECT_EQ(source->host_path, "");
    EXPECT_FALSE(source->secret);
  }
  const auto secret = read_git_source("https://me:sesame@host/x.git", false);
  ASSERT_TRUE(secret);
  EXPECT_TRUE(secret->secret);
  EXPECT_EQ(secret->name.find("sesame"), std::string::npos);
}

TEST(GitSource, RefusesWhatIsNoUrl) {
  for (const char* url : {"", "-x", "--upload-pack=x", "https://host/a\nb"}) EXPECT_FALSE(read_git_source(url, true)) << url;
  for (const char* url : {"/usr", "usr", "./a:b", "file:///usr"}) EXPECT_FALSE(read_git_source(url, false)) << url;
  EXPECT_FALSE(read_git_source("usr", true));
  EXPECT_FALSE(read_git_source("file:///usr/nowhere", true));
  const auto path = read_git_source("file:///us%72", true);
  ASSERT_TRUE(path);
  EXPECT_EQ(path->host_path, "/usr");
}

TEST(Revision, IsANameThatGitAllows) {
  for (const char* name : {"", "main", "feature/a/1", "v1.0", "0123abc", "ветка"}) EXPECT_TRUE(check_revision("branch", name)) << name;
  for (const char* name : {"-b", "a..b", "a b", "a:b", "a^{}", "a\n", "*"}) EXPECT_FALSE(check_revision("branch", name)) << name;
}

TEST(CloneJob, IsBounded) {
  CloneRequest request;
  request.source.url = "https://host/x.git";
  request.branch = "a/b";
  request.directory = "/nowhere";
  const Job job = clone_job(request);
  EXPECT_EQ(Words(job.argv.begin() + 4, job.argv.end()), (Words{"--depth", "1", "--shallow-submodules", "--branch", "a/b"}));
  EXPECT_EQ(job.env.at("GIT_ALLOW_PROTOCOL"), "http:https:git:ssh");
  EXPECT_EQ(job.env.at("URL"), "https://host/x.git");
  EXPECT_TRUE(job.limits.wall && job.limits.memory_bytes && job.limits.output_bytes);
  EXPECT_EQ(job.mounts.at(0).bytes, 1ull << 30);
  request.branch = "";
  EXPECT_EQ(clone_job(request, false).argv.size(), 4u);
}

TEST(RevisionListing, PrefersABranchAndPeelsATag) {
  const std::string a(40, 'a'), b(40, 'b'), c(40, 'c');
  const std::string listing = a + "\trefs/heads/v1\n" + b + "\trefs/tags/v1\n" + c + "\trefs/tags/v1^{}\nrubbish\nshort\tHEAD\n";
  EXPECT_EQ(commit_in_listing(listing, "v1"), a);
  EXPECT_EQ(commit_in_listing(listing.substr(listing.find(b)), "v1"), c);
  EXPECT_EQ(commit_in_listing(listing, "v2"), "");
  EXPECT_EQ(commit_in_listing(listing, ""), "");
  EXPECT_EQ(commit_in_listing(a + "\tHEAD", ""), a);
}

TestsEnd ended(Outcome outcome, std::optional<int> exit_status) {
  TestsEnd end;
  end.result.outcome = std::move(outcome);
  end.result.exit_status = exit_status;
  return end;
}

constexpr const char* kReport = R"(<testsuites><testsuite tests="1" time="1.5">
  <testcase classname="tests.test_x" name="test_a" time="0.5"/><testcase time="0.0"/></testsuite></testsuites>)";

TEST(GradeRun, BelievesAnExitStatusAlsoAfterALimitWasHit) {
  WorkOrder order = order_21();
  order.task.connected_tests.clear();
  TestsEnd end = ended({.kind = Outcome::Kind::too_many_processes}, 0);
  end.report = kReport;
  end.result.resources.peak_memory_bytes = 3 << 20;
  const Grade grade = grade_run(order, end);
  EXPECT_FALSE(grade.is_error) << grade.error_details;
  ASSERT_EQ(grade.cases.size(), 1u);
  EXPECT_EQ(grade.cases[0].memory_kib, 3072u);
}

TEST(GradeRun, IsAnErrorWhereNobodyKnowsHowItEnded) {
  for (const Outcome& outcome : {Outcome{Outcome::Kind::signaled, 9}, Outcome{Outcome::Kind::out_of_memory},
                                 Outcome{Outcome::Kind::output_limit}, Outcome{Outcome::Kind::lost}}) {
    TestsEnd end = ended(outcome, std::nullopt);
    end.report = kReport;
    const Grade grade = grade_run(order_21(), end);
    EXPECT_TRUE(grade.is_error);
    EXPECT_TRUE(grade.cases.empty());
  }
}

TEST(GradeRun, KeepsTheCasesOfARunThatWasCutShort) {
  TestsEnd end = ended({.kind = Outcome::Kind::exited, .code = 2}, 2);
  end.report = kReport;
  end.cut_short = CutShort::timed_out;
  Grade grade = grade_run(order_21(), end);
  EXPECT_TRUE(grade.is_error);
  EXPECT_EQ(grade.error_details, "Timeout, tests run ran more than:600 seconds");
  EXPECT_EQ(grade.cases.size(), 1u);
  end.cut_short = CutShort::stopped;
  EXPECT_EQ(grade_run(order_21(), end).error_details, kStopText);
}

TEST(GradeRun, TellsPytestsOwnReasonWhereItRefusedItsCommandLine) {
  TestsEnd end = ended({.kind = Outcome::Kind::exited, .code = 4}, 4);
  end.report = R"(<testsuites><testsuite tests="0" time="0.1"/></testsuites>)";
  const std::string told = "pytest refused its command line or configuration (status 4)";
  EXPECT_EQ(grade_run(order_21(), end).error_details, told);
  end.result.output.merged = "=== no tests ran in 0.00s ===\nERROR: file or directory not found: tests/lab9\x1b\n\ndone\n";
  EXPECT_EQ(grade_run(order_21(), end).error_details, told + ": file or directory not found: tests/lab9\\x1b");
  end.result.output.merged = "one\nno such laboratory\n\n";
  EXPECT_EQ(grade_run(order_21(), end).error_details, told + ": no such laboratory");
}

TEST(GradeRun, TellsTheLastWordsOfACommandWithoutReport) {
  TestsEnd end = ended({.kind = Outcome::Kind::exited, .code = 4}, 4);
  end.result.output.merged = "one\ntwo\n\n \nthree\x1b[0m\nfour\n";
  EXPECT_EQ(grade_run(order_21(), end).error_details,
            "the tests' command exited 4 and left no report; it said last: two three\\x1b[0m four");
  end.result.output.merged = "python: No module named pytest\n";
  EXPECT_EQ(grade_run(order_21(), end).error_details,
            "the tests' command exited 4 and left no report: there is no pytest; name it in the tests' requirements.txt");
}

}  // namespace
}  // namespace casemate
