#include "report/history_sink.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/event_json.h"
#include "sample_run.h"
#include "store/history.h"
#include "store/tree.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
const std::string kProject = "/home/me/project";

class Counting : public Sink {
 public:
  void run_started(const RunStart& run) override { directory = run.directory; }
  void collected(const Collected& collected) override {
    problems = collected.problems.size();
    for (const TestResult& problem : collected.problems) problem_texts.insert(problem.reports.empty() ? 0 : problem.reports[0].text.size());
  }
  void test_finished(const TestResult& result) override {
    ++tests;
    text_bytes += result.reports.empty() ? 0 : result.reports[0].text.size();
  }
  std::string run_finished(const RunEnd& end) override {
    status = end.exit_status;
    return "";
  }
  std::string directory;
  std::size_t problems = 0;
  std::set<std::size_t> problem_texts;
  int tests = 0;
  int status = -1;
  std::size_t text_bytes = 0;
};

class HistorySinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-history-sink-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }
  TestHistory open() { return TestHistory::open(directory_).value(); }
  Result<Counting> replayed(const std::string& project = kProject) {
    Counting counting;
    TRY(read_run_log(project, kEventLineLimit, [&](std::string_view line) { return replay(line, counting); }, directory_));
    return counting;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_ + "/tests"), fs::directory_iterator()));
  }
  std::string directory_;
};

TEST_F(HistorySinkTest, keeps_rows_and_events) {
  TestHistory history = open();
  std::ofstream(directory_ + "/code.py") << "1";
  const CodePlace code{.directory = directory_, .without = {}, .installed = {}};
  HistorySink sink(
      history, {.directory = directory_, .code = std::make_shared<CodeSurvey>(code, CodeSurveyTimes{.patience = std::chrono::minutes(1)})});
  EXPECT_EQ(play_sample_run(sink), "");
  EXPECT_EQ(sink.trouble(), "");
  const auto run = history.last_run(kProject).value().value();
  EXPECT_TRUE(run.finished);
  EXPECT_EQ(run.source, code_digest(code).value() + ", python 3.11.7, pytest 8.1.1");
  EXPECT_EQ(run.exit_status, 1);
  EXPECT_EQ(run.took_us, 1'000'000);
  EXPECT_EQ(run.counts.at("failed"), 3);
  const auto results = history.results(run.id).value();
  ASSERT_EQ(results.size(), 9u) << "a problem of collection and 8 attempts";
  EXPECT_EQ(results[0].verdict, "error");
  EXPECT_EQ(results[7].leak, "sleep, sh");
  EXPECT_EQ(results[8].outcome, "signaled");
  EXPECT_EQ(results[8].code, 11);
  EXPECT_EQ(history.flaky(kProject, 9).value().size(), 1u);
  const auto counting = replayed();
  ASSERT_TRUE(counting);
  EXPECT_EQ(counting->tests, 8);
  EXPECT_EQ(counting->status, 1);
  EXPECT_EQ(counting->directory, kProject);
}

TEST_F(HistorySinkTest, a_run_among_the_jobs_of_all_front_ends) {
  ::setenv("CASEMATE_STATE_DIR", directory_.c_str(), 1);
  TestHistory history = open();
  HistorySink sink(history);
  play_sample_run(sink);
  const auto records = History::open().value().find({}).value();
  ::unsetenv("CASEMATE_STATE_DIR");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].name, "pytest -k 'a b'");
  EXPECT_EQ(records[0].code, 1);
  EXPECT_EQ(files(), 1u);
}

TEST_F(HistorySinkTest, a_later_run_takes_the_place_of_the_last) {
  TestHistory history = open();
  for (int i = 0; i < 3; ++i) {
    HistorySink sink(history, {.directory = directory_});
    play_sample_run(sink);
  }
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(history.runs(kProject, 10).value().size(), 3u);
}

TEST_F(HistorySinkTest, a_killed_run_leaves_the_last_one_and_its_file_is_swept) {
  TestHistory history = open();
  HistorySink whole(history, {.directory = directory_});
  play_sample_run(whole);
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto own = TestHistory::open(directory_);
    HistorySink sink(*own, {.directory = directory_});
    sink.run_started({"pytest", "project", kProject, {}, {}, 1, 1, 1});
    for (int i = 0; i < 1500; ++i) sink.test_finished(sample_result(fmt::format("test_{}", i), Verdict::passed));
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(files(), 2u);
  const auto run = history.last_run(kProject).value().value();
  EXPECT_FALSE(run.finished);
  EXPECT_EQ(history.results(run.id).value().size(), 1000u) << "the last batch is lost";
  EXPECT_EQ(replayed()->tests, 8);
  HistorySink next(history, {.directory = directory_});
  play_sample_run(next);
  EXPECT_EQ(files(), 1u);
}

TEST_F(HistorySinkTest, logs_of_many_projects_are_bounded) {
  TestHistory history = open();
  for (std::size_t i = 0; i < kRunLogs + 3; ++i) {
    HistorySink sink(history, {.directory = directory_});
    play_sample_run(sink, fmt::format("/project/{}", i));
  }
  EXPECT_EQ(files(), kRunLogs);
  EXPECT_EQ(replayed("/project/0").error().code, ErrorCode::not_found);
  EXPECT_TRUE(replayed(fmt::format("/project/{}", kRunLogs + 2)));
}

TEST_F(HistorySinkTest, a_large_run_loses_long_texts_but_no_verdicts) {
  TestHistory history = open();
  HistorySink sink(history, {.directory = directory_, .log_bytes = 1 << 20});
  sink.run_started({"pytest", "project", kProject, {}, {}, 1, 1, 1});
  TestResult big = sample_failure("test_big");
  big.reports[0].text = std::string(100 << 10, 'x');
  for (int i = 0; i < 100; ++i) sink.test_finished(big);
  sink.run_finished({});
  EXPECT_LT(fs::file_size(fs::directory_iterator(directory_ + "/tests")->path()), 2u << 20);
  const auto counting = replayed();
  EXPECT_EQ(counting->tests, 100);
  EXPECT_GT(counting->text_bytes, 1u << 20);
  EXPECT_LT(counting->text_bytes, 2u << 20);
  EXPECT_EQ(history.results(history.last_run(kProject).value()->id).value().size(), 100u);
}

TEST_F(HistorySinkTest, an_event_that_would_be_too_long_to_be_read_back_loses_texts) {
  constexpr std::size_t kMost = 1 << 20;
  TestHistory history = open();
  HistorySink sink(history, {.directory = directory_, .event_bytes = kMost});
  sink.run_started({"pytest", "project", kProject, {}, {}, 1, 1, 1});
  TestResult big = sample_failure("test_big");
  big.reports.resize(150, big.reports[0]);
  for (TestReport& report : big.reports) report.text = report.message = std::string(10 << 10, 'x');
  Collected collected;
  collected.problems.assign(500, sample_failure("test_module"));
  for (TestResult& problem : collected.problems) problem.reports[0].text = std::string(10 << 10, 'x');
  sink.collected(collected);
  sink.test_finished(big);
  sink.run_finished({});
  ASSERT_TRUE(read_run_log(kProject, kMost, [](std::string_view) { return Result<void>(); }, directory_));
  const auto counting = replayed();
  EXPECT_EQ(counting->problems, 500u);
  EXPECT_EQ(counting->problem_texts, (std::set<std::size_t>{0, 4096}));
  EXPECT_EQ(counting->tests, 1);
  EXPECT_EQ(counting->text_bytes, 4096u);
}

TEST_F(HistorySinkTest, a_log_that_is_full_still_has_its_end) {
  TestHistory history = open();
  HistorySink sink(history, {.directory = directory_, .log_bytes = 20 << 10});
  sink.run_started({"pytest", "project", kProject, {}, {}, 1, 1, 1});
  for (int i = 0; i < 1000; ++i) sink.test_finished(sample_result("test", Verdict::passed));
  sink.run_finished({});
  EXPECT_LT(replayed()->tests, 500);
  EXPECT_EQ(replayed()->status, 0);
  EXPECT_EQ(history.results(history.last_run(kProject).value()->id).value().size(), 1000u);
}

TEST_F(HistorySinkTest, what_cannot_be_written_is_told_and_fails_no_run) {
  TestHistory history = open();
  std::ofstream(directory_ + "/tests") << "no directory";
  HistorySink sink(history, {.directory = directory_});
  EXPECT_EQ(play_sample_run(sink), "");
  EXPECT_NE(sink.trouble().find("the events of this run are not kept"), std::string::npos) << sink.trouble();
  EXPECT_TRUE(history.last_run(kProject).value()->finished);
}

TEST_F(HistorySinkTest, a_cut_log_is_refused) {
  TestHistory history = open();
  HistorySink sink(history, {.directory = directory_});
  play_sample_run(sink);
  const fs::path log = fs::directory_iterator(directory_ + "/tests")->path();
  fs::resize_file(log, fs::file_size(log) - 5);
  ASSERT_FALSE(replayed());
  EXPECT_EQ(replayed().error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace casemate
