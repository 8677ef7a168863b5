#include "store/test_history.h"

#include <chrono>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/history.h"
#include "store/history_database.h"
#include "store/tree.h"

namespace casemate {
namespace {

const std::string kProject = "/home/me/project";

TestResultRecord result(const std::string& node, const std::string& verdict = "passed", std::int64_t duration_us = 1000) {
  TestResultRecord record;
  record.node = node;
  record.container = "host";
  record.verdict = verdict;
  record.outcome = "exited";
  record.duration_us = duration_us;
  return record;
}

class TestHistoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-test-history-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }
  TestHistory open() {
    auto history = TestHistory::open(directory_);
    EXPECT_TRUE(history) << history.error().what;
    return std::move(*history);
  }
  static TestRunRecord about(const std::string& source = "", const std::string& project = kProject) {
    TestRunRecord run;
    run.project = project;
    run.front_end = "pytest";
    run.arguments = {"-k", "a b"};
    run.source = source;
    run.began_ms = 1'700'000'000'000;
    return run;
  }
  // A whole run with these results; its id.
  static std::int64_t ran(TestHistory& history, const std::vector<TestResultRecord>& results, const std::string& source = "",
                          const std::string& project = kProject) {
    TestRunRecord run = about(source, project);
    run.id = history.begin(run).value();
    EXPECT_TRUE(history.add(run.id, results));
    run.took_us = 5000;
    EXPECT_TRUE(history.finish(run));
    return run.id;
  }
  std::string directory_;
};

TEST_F(TestHistoryTest, a_run_comes_back_as_it_was_put) {
  TestHistory history = open();
  TestRunRecord run = about("sha256:1");
  run.id = history.begin(run).value();
  TestResultRecord bad = result("a.py::b[\x01 \xe2\x82\xac]", "failed", 1234);
  bad.outcome = "signaled";
  bad.code = 11;
  bad.attempt = 2;
  bad.flaky = true;
  bad.began_us = 5;
  bad.cpu_us = 7;
  bad.peak_memory_bytes = 1 << 20;
  bad.slot = 3;
  bad.reason = "AssertionError";
  bad.leak = "sleep, sh";
  TestResultRecord first = bad;
  first.attempt = 1;
  first.last = false;
  ASSERT_TRUE(history.add(run.id, std::vector{first, bad}));
  ASSERT_TRUE(history.add(run.id, std::vector{result("c.py::d")}));
  run.took_us = 9;
  run.counts = {{"passed", 1}, {"failed", 1}};
  run.flaky = 2;
  run.not_run = 3;
  run.stopped_because = "interrupted (SIGINT)";
  run.problem = "no interpreter";
  run.exit_status = 130;
  ASSERT_TRUE(history.finish(run));

  const TestRunRecord kept = open().last_run(kProject).value().value();
  EXPECT_TRUE(kept.finished);
  EXPECT_EQ(kept.arguments, run.arguments);
  EXPECT_EQ(kept.source, "sha256:1");
  EXPECT_EQ(kept.began_ms, run.began_ms);
  EXPECT_EQ(kept.counts, run.counts);
  EXPECT_EQ(kept.not_run, 3);
  EXPECT_EQ(kept.stopped_because, run.stopped_because);
  EXPECT_EQ(kept.problem, run.problem);
  EXPECT_EQ(kept.exit_status, 130);
  const auto results = history.results(kept.id).value();
  ASSERT_EQ(results.size(), 3u);
  EXPECT_FALSE(results[0].last);
  EXPECT_EQ(results[1].node, bad.node);
  EXPECT_EQ(results[1].outcome, "signaled");
  EXPECT_EQ(results[1].code, 11);
  EXPECT_EQ(results[1].attempt, 2u);
  EXPECT_TRUE(results[1].flaky);
  EXPECT_EQ(results[1].peak_memory_bytes, 1u << 20);
  EXPECT_EQ(results[1].slot, 3u);
  EXPECT_EQ(results[1].reason, "AssertionError");
  EXPECT_EQ(results[1].leak, "sleep, sh");
  EXPECT_EQ(results[2].outcome, "exited");
  EXPECT_EQ(results[2].peak_memory_bytes, std::nullopt);
  ASSERT_EQ(history.results(kept.id, true).value().size(), 1u);
  EXPECT_FALSE(history.last_run("/elsewhere").value());
}

TEST_F(TestHistoryTest, timings_are_the_mean_of_the_last_three_and_know_the_last_failure) {
  TestHistory history = open();
  for (const int duration : {100'000, 1000, 2000, 6000}) ran(history, {result("a", "passed", duration), result("once", "failed", 50)});
  ran(history, {result("a", "skipped", 1), result("once", "cancelled", 1), result("skips", "skipped", 1)});
  TestResultRecord elsewhere = result("a", "failed", 70'000);
  elsewhere.container = "docker://python";
  ran(history, {elsewhere});
  const auto host = history.timings(kProject, "host").value();
  EXPECT_EQ(host.size(), 3u);
  EXPECT_EQ(host.at("a").mean_us, 3000);
  EXPECT_FALSE(host.at("a").failed);
  EXPECT_EQ(host.at("once").mean_us, 50);
  EXPECT_TRUE(host.at("once").failed) << "it did not run since";
  EXPECT_EQ(host.at("skips").mean_us, std::nullopt);
  EXPECT_FALSE(host.contains("new"));
  const auto any = history.timings(kProject).value();
  EXPECT_EQ(any.at("a").mean_us, 70'000);
  EXPECT_TRUE(any.at("a").failed);
  EXPECT_TRUE(history.timings("/elsewhere").value().empty());
  EXPECT_TRUE(history.timings(kProject, "none").value().empty());
}

TEST_F(TestHistoryTest, an_attempt_that_another_follows_is_not_how_it_ended) {
  TestHistory history = open();
  TestResultRecord first = result("a", "failed", 9000);
  first.last = false;
  TestResultRecord second = result("a", "passed", 1000);
  second.attempt = 2;
  second.flaky = true;
  ran(history, {first, second});
  EXPECT_FALSE(history.timings(kProject).value().at("a").failed);
  EXPECT_EQ(history.timings(kProject).value().at("a").mean_us, 1000);
  EXPECT_EQ(history.flaky(kProject, 10).value().size(), 1u);
}

TEST_F(TestHistoryTest, flaky_is_what_passed_and_failed_with_the_same_source_or_in_one_run) {
  TestHistory history = open();
  ran(history, {result("fixed", "failed"), result("same", "failed"), result("bad", "failed")}, "1");
  ran(history, {result("same", "passed"), result("bad", "failed")}, "1");
  ran(history, {result("fixed", "passed"), result("bad", "failed")}, "2");
  ran(history, {result("repeated", "passed"), result("repeated", "failed"), result("unknown", "passed")});
  ran(history, {result("unknown", "failed")});
  std::vector<std::string> nodes;
  const auto flaky = history.flaky(kProject, 10).value();
  for (const TestSummary& test : flaky) nodes.push_back(test.node);
  std::sort(nodes.begin(), nodes.end());
  EXPECT_EQ(nodes, (std::vector<std::string>{"repeated", "same"}));
  const auto bad = history.failing(kProject, 10).value();
  ASSERT_EQ(bad.size(), 3u);
  EXPECT_EQ(bad[0].node, "bad");
  EXPECT_EQ(bad[0].runs, 3);
  EXPECT_EQ(bad[0].failed, 3);
}

TEST_F(TestHistoryTest, slowest_first) {
  TestHistory history = open();
  ran(history, {result("a", "passed", 1000), result("b", "passed", 5000), result("c", "passed", 3000), result("s", "skipped", 9000)});
  const auto slowest = history.slowest(kProject, 2).value();
  ASSERT_EQ(slowest.size(), 2u);
  EXPECT_EQ(slowest[0].node, "b");
  EXPECT_EQ(slowest[0].mean_us, 5000);
  EXPECT_EQ(slowest[1].node, "c");
}

TEST_F(TestHistoryTest, the_trend_of_a_test_is_newest_first_and_bounded) {
  TestHistory history = open();
  for (int i = 1; i <= 30; ++i) ran(history, {result("a", i % 2 ? "passed" : "failed", i), result("b")});
  const auto trend = history.trend(kProject, "a").value();
  ASSERT_EQ(trend.size(), 20u);
  EXPECT_EQ(trend[0].result.duration_us, 30);
  EXPECT_EQ(trend[0].result.verdict, "failed");
  EXPECT_EQ(trend[0].result.container, "host");
  EXPECT_EQ(trend[19].result.duration_us, 11);
  EXPECT_TRUE(history.trend(kProject, "c").value().empty());
}

TEST_F(TestHistoryTest, the_oldest_runs_go_and_tests_that_are_in_no_other) {
  TestHistory history = open();
  ran(history, {result("elsewhere")}, "", "/other");
  const TestHistoryBounds bounds{.runs = 3, .results = 1000};
  for (int i = 0; i < 5; ++i) {
    TestRunRecord run = about();
    run.id = history.begin(run).value();
    ASSERT_TRUE(history.add(run.id, std::vector{result("always"), result(fmt::format("only in {}", i))}));
    ASSERT_TRUE(history.finish(run, bounds));
  }
  EXPECT_EQ(history.runs(kProject, 100).value().size(), 3u);
  EXPECT_EQ(history.timings(kProject).value().size(), 4u);
  EXPECT_EQ(history.trend(kProject, "always").value().size(), 3u);
  EXPECT_EQ(history.runs("", 100).value().size(), 4u);
}

TEST_F(TestHistoryTest, results_are_bounded_too_but_two_runs_stay) {
  TestHistory history = open();
  for (int i = 0; i < 5; ++i) {
    TestRunRecord run = about();
    run.id = history.begin(run).value();
    ASSERT_TRUE(history.add(run.id, std::vector{result("a"), result("b"), result("c")}));
    ASSERT_TRUE(history.finish(run, {.runs = 100, .results = i < 4 ? 9 : 1}));
    EXPECT_EQ(history.runs(kProject, 100).value().size(), i < 4 ? std::min(i + 1u, 3u) : 2u);
  }
}

TEST_F(TestHistoryTest, prune_forgets_by_age) {
  TestHistory history = open();
  ran(history, {result("a")});
  EXPECT_EQ(history.prune(1'600'000'000'000).value(), 0);
  EXPECT_EQ(history.projects().value(), std::vector<std::string>{kProject});
  EXPECT_EQ(history.prune(1'800'000'000'000).value(), 1);
  EXPECT_TRUE(history.projects().value().empty());
  EXPECT_TRUE(history.timings(kProject).value().empty());
}

TEST_F(TestHistoryTest, a_run_that_was_killed_is_shown_unfinished_with_what_it_had) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto history = TestHistory::open(directory_);
    const auto id = history ? history->begin(about()) : std::unexpected(history.error());
    if (!id || !history->add(*id, std::vector{result("a"), result("b", "failed")})) ::_exit(1);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  TestHistory history = open();
  const auto run = history.last_run(kProject).value().value();
  EXPECT_FALSE(run.finished);
  EXPECT_EQ(history.results(run.id).value().size(), 2u);
  EXPECT_TRUE(history.timings(kProject).value().at("b").failed);
}

TEST_F(TestHistoryTest, several_casemates_write_at_once) {
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto history = TestHistory::open(directory_);
      if (!history) ::_exit(1);
      TestRunRecord run = about("", child % 2 ? kProject : "/other");
      const auto id = history->begin(run);
      if (!id) ::_exit(2);
      for (int batch = 0; batch < 20; ++batch) {
        std::vector<TestResultRecord> results;
        for (int i = 0; i < 20; ++i) results.push_back(result(fmt::format("t{}", batch * 20 + i)));
        if (!history->add(*id, results)) ::_exit(3);
      }
      run.id = *id;
      ::_exit(history->finish(run) ? 0 : 4);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  TestHistory history = open();
  const auto runs = history.runs("", 10).value();
  ASSERT_EQ(runs.size(), 4u);
  for (const TestRunRecord& run : runs) EXPECT_EQ(history.results(run.id).value().size(), 400u);
  EXPECT_EQ(history.timings(kProject).value().size(), 400u);
}

TEST_F(TestHistoryTest, texts_are_bounded) {
  TestHistory history = open();
  TestRunRecord about_run = about();
  about_run.arguments.assign(10'000, "0123456789");
  const std::int64_t id = history.begin(about_run).value();
  TestResultRecord long_reason = result("a");
  long_reason.reason = "x" + std::string(1000, '\xe2');
  for (int i = 0; i < 1000; ++i) long_reason.reason += "\xe2\x82\xac";
  ASSERT_TRUE(history.add(id, std::vector{long_reason, result(std::string(TestHistory::kLongestNode + 1, 'n'))}));
  const auto results = history.results(id).value();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_LE(results[0].reason.size(), 500u);
  EXPECT_LT(history.last_run(kProject).value()->arguments.size(), 1000u);
}

TEST_F(TestHistoryTest, a_run_that_was_pruned_meanwhile_takes_no_more) {
  TestHistory history = open();
  TestRunRecord run = about();
  run.id = history.begin(run).value();
  ASSERT_EQ(history.prune(1'800'000'000'000).value(), 1);
  const auto added = history.add(run.id, std::vector{result("a")});
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::not_found);
  EXPECT_TRUE(history.finish(run));
  EXPECT_TRUE(history.runs("", 10).value().empty());
}

TEST_F(TestHistoryTest, a_database_of_the_first_schema_is_migrated_and_keeps_its_jobs) {
  {
    auto database = Database::open(directory_ + "/casemate.db", "CASEMATE_STATE_DIR").value();
    ASSERT_TRUE(database.execute(
        "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spool_id TEXT NOT NULL UNIQUE, started_ms INTEGER NOT NULL, "
        "front_end TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT NOT NULL, code INTEGER NOT NULL, wall_us INTEGER "
        "NOT NULL, cpu_us INTEGER NOT NULL, peak_memory_bytes INTEGER, details TEXT NOT NULL); PRAGMA user_version = 1;"
        "INSERT INTO runs VALUES (1, 'x', 5, 'run', 'true', '', 'exited', 0, 1, 1, NULL, '{}')"));
  }
  TestHistory history = open();
  EXPECT_EQ(history.note(), "");
  ran(history, {result("a")});
  EXPECT_EQ(History::open(directory_).value().find({}).value().at(0).name, "true");
}

TEST_F(TestHistoryTest, what_needed_others_is_known_until_it_runs_without) {
  TestHistory history = open();
  TestResultRecord needy = result("a");
  needy.needs_others = true;
  TestResultRecord not_run = result("a", "cancelled");
  ran(history, {needy, result("b")});
  EXPECT_EQ(history.timings(kProject).value().at("a").needed_others_ms, 1'700'000'000'000);
  EXPECT_FALSE(history.timings(kProject).value().at("b").needed_others_ms);
  ran(history, {not_run});
  EXPECT_TRUE(history.timings(kProject).value().at("a").needed_others_ms);
  ran(history, {result("a")});
  EXPECT_FALSE(history.timings(kProject).value().at("a").needed_others_ms);
}

TEST_F(TestHistoryTest, values_of_wrong_types_in_the_file_do_no_harm) {
  TestHistory history = open();
  ran(history, {result("a")});
  {
    auto database = Database::open(directory_ + "/casemate.db", "CASEMATE_STATE_DIR").value();
    ASSERT_TRUE(
        database.execute("UPDATE test_runs SET counts = '[1]', arguments = 'x', took_us = 'y', exit_status = 'z';"
                         "UPDATE tests SET duration_1 = 'q', verdict = x'00ff', node = x'61';"
                         "UPDATE test_results SET verdict = 7, reason = x'ff', slot = -1"));
  }
  EXPECT_TRUE(history.last_run(kProject).value()->finished);
  EXPECT_EQ(history.results(history.last_run(kProject).value()->id).value().size(), 1u);
  EXPECT_EQ(history.timings(kProject).value().size(), 1u);
  EXPECT_TRUE(history.flaky(kProject, 5));
  EXPECT_TRUE(history.slowest(kProject, 5));
}

// Not run by itself: --gtest_also_run_disabled_tests prints what 100,000 tests cost.
TEST_F(TestHistoryTest, DISABLED_costs_of_100000_tests) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); };
  TestHistory history = open();
  for (int run_number = 0; run_number < 6; ++run_number) {
    TestRunRecord run = about();
    run.id = history.begin(run).value();
    auto began = Clock::now();
    double longest = 0;
    for (int batch = 0; batch < 200; ++batch) {
      std::vector<TestResultRecord> results;
      for (int i = 0; i < 500; ++i) {
        const int test = (batch * 500 + i) * 7919 % 100'000;
        results.push_back(result(fmt::format("tests/package/test_file_{:03}.py::TestClass::test_name[{}]", test / 200, test)));
        results.back().peak_memory_bytes = 12'345'678;
      }
      const auto one = Clock::now();
      ASSERT_TRUE(history.add(run.id, results));
      longest = std::max(longest, seconds(one));
    }
    fmt::print("run {}: added in {:.2f} s, longest batch {:.3f} s", run_number, seconds(began), longest);
    began = Clock::now();
    ASSERT_TRUE(history.finish(run, {.runs = 5}));
    fmt::print(", finished in {:.2f} s", seconds(began));
    began = Clock::now();
    ASSERT_EQ(history.timings(kProject, "host").value().size(), 100'000u);
    fmt::print(", timings in {:.3f} s\n", seconds(began));
  }
  for (const auto& [name, ask] : {std::pair{"flaky", &TestHistory::flaky}, std::pair{"slowest", &TestHistory::slowest},
                                  std::pair{"failing", &TestHistory::failing}}) {
    const auto began = Clock::now();
    ASSERT_TRUE((history.*ask)(kProject, 20));
    fmt::print("{} in {:.3f} s\n", name, seconds(began));
  }
  const auto began = Clock::now();
  ASSERT_EQ(history.trend(kProject, "tests/package/test_file_000.py::TestClass::test_name[7]").value().size(), 5u);
  fmt::print("trend in {:.4f} s\n", seconds(began));
  ASSERT_EQ(std::system(fmt::format("ls -l {}", directory_).c_str()), 0);
}

TEST_F(TestHistoryTest, one_that_did_not_run_has_passed_and_took_no_time) {
  auto history = open();
  ran(history, {result("a", "failed", 1000)});
  TestResultRecord cached = result("a", "passed", 9000);
  cached.cached = true;
  ran(history, {cached});
  const auto known = history.timings(kProject).value().at("a");
  EXPECT_EQ(known.mean_us, 1000);
  EXPECT_FALSE(known.failed);
}

}  // namespace
}  // namespace casemate
