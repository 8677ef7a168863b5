#include "apps/history/history.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "report/history_sink.h"
#include "said.h"
#include "sample_run.h"
#include "store/history.h"
#include "store/tree.h"

namespace casemate {
namespace {

Said history(const std::vector<std::string>& arguments) { return said_by(history_main, arguments); }

class HistoryApp : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-history-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    ::setenv("CASEMATE_STATE_DIR", name, 1);
    const std::int64_t now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const auto spool = [&](const char* front_end, const char* name, const char* outcome, int code, int days) {
      RunRecord record;
      record.front_end = front_end;
      record.name = name;
      record.outcome = outcome;
      record.code = code;
      record.started_ms = now - days * 86'400'000ll;
      record.wall_us = 1'250'000;
      record.details = R"({"image":"host"})";
      ASSERT_TRUE(spool_run(record));
    };
    spool("run", "old \x1b[31mtrue", "exited", 0, 40);
    spool("script", "plot.py", "signaled", 11, 2);
    spool("script", "slow.py", "timed out", 0, 1);
  }
  void TearDown() override {
    ::unsetenv("CASEMATE_STATE_DIR");
    EXPECT_TRUE(remove_tree(directory_));
  }
  std::string directory_;
};

TEST_F(HistoryApp, lists_the_newest_first) {
  const Said said = history({});
  EXPECT_EQ(said.code, 0);
  EXPECT_LT(said.out.find("slow.py"), said.out.find("plot.py"));
  EXPECT_NE(said.out.find("signaled 11 (SIGSEGV)"), std::string::npos) << said.out;
  EXPECT_NE(said.out.find("old \\x1b[31mtrue"), std::string::npos) << said.out;
  EXPECT_EQ(said.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(said.err, "");
}

TEST_F(HistoryApp, says_what_of_a_set_up_failed) {
  for (const char* details : {R"({"exit_status":127})", R"({"exit_status":126})", R"({"error_type":"environment_setup_failed"})", "[1]"}) {
    RunRecord record;
    record.name = "x";
    record.outcome = "setup failed";
    record.code = ENOENT;
    record.details = details;
    ASSERT_TRUE(spool_run(record));
  }
  const std::string out = history({"--outcome", "setup failed"}).out;
  EXPECT_NE(out.find("setup failed (command not found)"), std::string::npos) << out;
  EXPECT_NE(out.find("setup failed (command can't be executed)"), std::string::npos) << out;
  EXPECT_NE(out.find("setup failed (environment)"), std::string::npos) << out;
  EXPECT_EQ(history({"--outcome", "setup failed", "--json"}).json()[0]["outcome"], "setup failed");
}

TEST_F(HistoryApp, filters) {
  EXPECT_EQ(history({"--limit", "1", "--json"}).json().size(), 1u);
  EXPECT_EQ(history({"--front-end", "script", "--json"}).json().size(), 2u);
  EXPECT_EQ(history({"--outcome", "timed out", "--json"}).json()[0]["name"], "slow.py");
  EXPECT_EQ(history({"--name", "plot", "--json"}).json().size(), 1u);
}

TEST_F(HistoryApp, shows_one_run) {
  const std::string id = history({"--name", "plot", "--json"}).json()[0]["id"].dump();
  const Said said = history({"show", id});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.out.find("1.25 s"), std::string::npos) << said.out;
  EXPECT_EQ(history({"show", id, "--json"}).json()["details"]["image"], "host");
  const Said missing = history({"show", "999"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_TRUE(missing.err.starts_with("casemate history: there is no run 999"));
}

TEST_F(HistoryApp, prunes_by_age) {
  EXPECT_EQ(history({"prune", "--older-than", "30d"}).out, "removed 1 run\n");
  EXPECT_EQ(history({"prune", "--older-than", "36h", "--json"}).json()["removed"], 1);
  EXPECT_EQ(history({"--json"}).json().size(), 1u);
}

class TestViews : public HistoryApp {
 protected:
  void SetUp() override {
    HistoryApp::SetUp();
    TestHistory tests = TestHistory::open(directory_).value();
    std::ofstream(directory_ + "/code.py") << "1";
    const CodePlace code{.directory = directory_, .without = {}, .installed = {}};
    for (int i = 0; i < 2; ++i) {
      HistorySink sink(tests, {.directory = directory_,
                               .code = std::make_shared<CodeSurvey>(code, CodeSurveyTimes{.patience = std::chrono::minutes(1)})});
      play_sample_run(sink, directory_);
    }
  }
};

TEST_F(TestViews, lists_runs) {
  const Said said = history({"runs"});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.out.find("-k 'a b'"), std::string::npos) << said.out;
  EXPECT_EQ(std::count(said.out.begin(), said.out.end(), '\n'), 3);
  const auto runs = history({"runs", "--json", "--limit", "1"}).json();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0]["id"], 2);
  EXPECT_EQ(runs[0]["counts"]["failed"], 3);
  EXPECT_EQ(runs[0]["arguments"][1], "a b");
  EXPECT_EQ(history({"runs", "--project", directory_ + "/tests", "--json"}).json().size(), 2u);
  EXPECT_EQ(history({"runs", "--project", "/nowhere"}).code, 1);
}

TEST_F(TestViews, shows_a_run_that_never_finished_as_such) {
  TestHistory tests = TestHistory::open(directory_).value();
  TestRunRecord run;
  run.project = directory_;
  ASSERT_TRUE(tests.begin(run));
  EXPECT_NE(history({"runs"}).out.find("not finished"), std::string::npos);
  EXPECT_EQ(history({"runs", "--json"}).json()[0]["finished"], false);
}

TEST_F(TestViews, lists_the_last_run_and_never_drives_the_terminal) {
  const Said said = history({"tests", "--project", directory_});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.out.find("test_crashes"), std::string::npos);
  EXPECT_NE(said.out.find("\\x01\\u{202e}"), std::string::npos) << said.out;
  EXPECT_EQ(said.out.find('\x01'), std::string::npos);
  const auto tests = history({"tests", "--project", directory_, "--json"}).json();
  EXPECT_EQ(tests.size(), 8u);
  EXPECT_EQ(tests[7]["outcome"], "signaled");
  EXPECT_EQ(tests[6]["leak"], "sleep, sh");
}

TEST_F(TestViews, flaky_slowest_failed_and_the_past_of_one) {
  const auto ask = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"tests", "--json", "--project", directory_});
    return history(more).json();
  };
  const auto flaky = ask({"--flaky"});
  ASSERT_EQ(flaky.size(), 1u);
  EXPECT_EQ(flaky[0]["id"], "tests/test_sample.py::test_flaky");
  EXPECT_EQ(flaky[0]["flaky"], 2);
  EXPECT_EQ(ask({"--slowest", "--limit", "1"})[0]["id"], "tests/test_sample.py::test_leaks");
  EXPECT_EQ(ask({"--failed"}).size(), 4u);
  const auto past = ask({"tests/test_sample.py::test_bad"});
  ASSERT_EQ(past.size(), 2u);
  EXPECT_EQ(past[0]["run"], 2);
  EXPECT_EQ(past[0]["reason"], "AssertionError: assert 1 == 2");
  const Said said = history({"tests", "--project", directory_, "tests/test_sample.py::test_bad"});
  EXPECT_NE(said.out.find("AssertionError"), std::string::npos);
  EXPECT_NE(history({"tests", "--project", directory_, "--slowest"}).out.find("250 ms"), std::string::npos);
}

TEST_F(TestViews, what_is_not_there_is_1_and_nonsense_125) {
  EXPECT_EQ(history({"tests", "--project", directory_, "no::such"}).code, 1);
  EXPECT_EQ(history({"tests", "--project", "/nowhere"}).code, 1);
  EXPECT_EQ(history({"tests", "--flaky", "--slowest"}).code, 125);
  EXPECT_EQ(history({"tests", "--project", directory_, "--flaky", "a::b"}).code, 125);
}

TEST_F(TestViews, prune_forgets_runs_of_tests_too) {
  EXPECT_EQ(history({"prune", "--older-than", "36h", "--json"}).json()["removed_test_runs"], 2);
  EXPECT_EQ(history({"runs", "--json"}).json().size(), 0u);
}

TEST_F(HistoryApp, wrong_usage_is_one_line_and_125) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"nonsense"},
                                                    {"--limit", "-1"},
                                                    {"--limit", "x"},
                                                    {"show"},
                                                    {"show", "x"},
                                                    {"prune"},
                                                    {"prune", "--older-than", "d"},
                                                    {"prune", "--older-than", "-3d"},
                                                    {"--outcome", "fine"}}) {
    const Said said = history(arguments);
    EXPECT_EQ(said.code, 125) << arguments[0];
    EXPECT_EQ(said.out, "");
    EXPECT_TRUE(said.err.starts_with("casemate history: ")) << said.err;
    EXPECT_EQ(std::count(said.err.begin(), said.err.end(), '\n'), 1) << said.err;
  }
  EXPECT_NE(history({"--help"}).out.find("casemate history show 42"), std::string::npos);
}

TEST_F(HistoryApp, tells_of_a_damaged_database_and_goes_on) {
  EXPECT_EQ(history({}).code, 0);
  std::ofstream(directory_ + "/casemate.db", std::ios::trunc) << std::string(5000, 'x');
  const Said said = history({"--json"});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.err.find("was damaged"), std::string::npos) << said.err;
  EXPECT_EQ(said.json().size(), 0u);
}

}  // namespace
}  // namespace casemate
