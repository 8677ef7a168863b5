#include "report/event_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace casemate {
namespace {

using namespace std::chrono_literals;

// Writes every event down again, so that both ways can be compared as texts; keeps the values.
class Echo : public Sink {
 public:
  void run_started(const RunStart& run) override { lines.push_back(event_line(run)); }
  void progress(std::string_view line, bool finished) override { lines.push_back(progress_line(line, finished)); }
  void collected(const Collected& collected) override { lines.push_back(event_line(collected)); }
  void test_started(const TestStart& start) override { lines.push_back(event_line(start)); }
  void test_finished(const TestResult& result) override {
    lines.push_back(event_line(result));
    last = result;
  }
  void note(std::string_view line) override { lines.push_back(note_line(line)); }
  std::string run_finished(const RunEnd& end) override {
    lines.push_back(event_line(end));
    return "the disk is full";
  }
  std::vector<std::string> lines;
  TestResult last;
};

TestResult full_result() {
  TestResult result;
  result.test = {"tests/test_a.py::TestB::test_c[1]", "tests/test_a.py", "TestB", "test_c[1]", 12, {"slow", "parametrize"}, true, true};
  result.verdict = Verdict::failed;
  result.reason = "AssertionError: assert 1 == 2";
  result.outcome = {Outcome::Kind::signaled, 11, "", "in a child"};
  result.resources = {1500us, 700us, 300us, 1 << 20, 4096, 0, 3, 1, 700};
  result.cell_is_its_own = false;
  result.began = 5s;
  result.duration = 1234us;
  result.reports = {{"setup", "passed", 1'700'000'000s, 10us, "", "", "", 0, {}, std::nullopt, ""},
                    {"call",
                     "failed",
                     1'700'000'001s,
                     20us,
                     "> assert 1 == 2\nE  assert",
                     "assert 1 == 2",
                     "tests/test_a.py",
                     14,
                     {{"Captured stdout call", "a\x1b[31mb\n"}, {"Captured stdout call", "again"}},
                     "",
                     "[msg] (i=1)"}};
  result.warnings = {{"DeprecationWarning", "old", "tests/test_a.py", 3}};
  result.properties = {{"key", "value"}, {"key", "twice"}};
  result.output = {"out", "err", "oeurtr", 100, 3, true};
  result.leftovers = {{7, "sleep"}};
  result.notes = {"cpu limit by rlimit"};
  result.container = "docker://python:3.11";
  result.slot = 1;
  result.attempt = 2;
  result.last = false;
  result.flaky = true;
  result.cold = true;
  result.cached = true;
  return result;
}

TEST(EventJson, all_fields_of_a_result_come_back) {
  const TestResult result = full_result();
  Echo echo;
  ASSERT_TRUE(replay(event_line(result), echo));
  ASSERT_EQ(echo.lines.size(), 1u);
  EXPECT_EQ(echo.lines[0], event_line(result));
  EXPECT_EQ(echo.last.test.markers, result.test.markers);
  EXPECT_EQ(echo.last.verdict, Verdict::failed);
  EXPECT_EQ(echo.last.outcome, result.outcome);
  EXPECT_EQ(echo.last.reports, result.reports);
  EXPECT_EQ(echo.last.warnings, result.warnings);
  EXPECT_EQ(echo.last.properties, result.properties);
  EXPECT_EQ(echo.last.output.merged, "oeurtr");
  EXPECT_EQ(echo.last.output.out_total, 100u);
  EXPECT_TRUE(echo.last.output.truncated);
  EXPECT_EQ(echo.last.leftovers.at(0).name, "sleep");
  EXPECT_EQ(echo.last.resources.read_bytes, 4096u);
  EXPECT_EQ(echo.last.resources.written_bytes, 0u);
  EXPECT_EQ(echo.last.resources.minor_faults, 700u);
  EXPECT_FALSE(echo.last.cell_is_its_own);
  EXPECT_FALSE(echo.last.last);
  EXPECT_TRUE(echo.last.test.cold && echo.last.cold && echo.last.cached && echo.last.flaky && echo.last.test.skipped_by_mark);
}

TEST(EventJson, a_plain_pass_is_short_and_comes_back_too) {
  TestResult result;
  result.test.id = "a.py::b";
  result.verdict = Verdict::passed;
  result.outcome = {Outcome::Kind::exited, 0, "", ""};
  result.output.out = "hello\n";
  result.output.merged = "hello\n";
  result.output.out_total = 6;
  const std::string line = event_line(result);
  EXPECT_EQ(line.find("merged"), std::string::npos);
  EXPECT_EQ(line.find("attempt"), std::string::npos);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_LT(line.size(), 300u);
  Echo echo;
  ASSERT_TRUE(replay(line, echo));
  EXPECT_EQ(echo.lines[0], line);
  EXPECT_EQ(echo.last.output.merged, "hello\n");
  EXPECT_TRUE(echo.last.last && echo.last.cell_is_its_own && echo.last.attempt == 1);
}

TEST(EventJson, every_other_event_comes_back) {
  RunStart run{"pytest", "project", "/home/me/project", {"-k", "a b"}, {}, 4, 2, 3};
  run.began = std::chrono::system_clock::time_point(1'700'000'000'123'456us);
  Collected collected{100, 3, 2, {full_result()}, 15ms, "3.11.7", "8.1.1"};
  const TestResult result = full_result();
  const TestStart start{&result.test, 3, 2, 17us};
  RunEnd end;
  end.took = 3s;
  end.counts[0] = 7;
  end.counts[8] = 1;
  end.flaky = 1;
  end.not_run = 4;
  end.stopped_because = "interrupted (SIGINT)";
  end.problem = "no";
  end.exit_status = 130;
  const std::vector<std::string> lines = {event_line(run),
                                          progress_line("pulling", true),
                                          progress_line("x", false),
                                          event_line(collected),
                                          event_line(start),
                                          note_line("warm parent died"),
                                          event_line(end)};
  Echo echo;
  std::string problem;
  for (const std::string& line : lines) ASSERT_TRUE(replay(line, echo, &problem)) << line;
  EXPECT_EQ(echo.lines, lines);
  EXPECT_EQ(problem, "the disk is full");
}

TEST(EventJson, bytes_that_are_no_text_become_replacement_characters) {
  TestResult result = full_result();
  result.output.out = "\xff\xfe";
  Echo echo;
  ASSERT_TRUE(replay(event_line(result), echo));
  EXPECT_EQ(echo.last.output.out, "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(EventJson, what_was_changed_or_cut_is_refused_and_nobody_hears_of_it) {
  const std::string good = event_line(full_result());
  Echo echo;
  for (std::size_t length = 0; length < good.size(); length += 7) EXPECT_FALSE(replay(good.substr(0, length), echo)) << length;
  for (const char* line :
       {"", "null", "[]", "{}", "1", R"({"event":1})", R"({"event":"test_finished"})",
        R"({"event":"test_finished","id":1,"verdict":"passed"})", R"({"event":"test_finished","verdict":"passed","line":-1})",
        R"({"event":"test_finished","verdict":"passed","line":4294967296})",
        R"({"event":"test_finished","verdict":"passed","duration_us":9223372036854775807})",
        R"({"event":"test_finished","verdict":"passed","reports":[1]})",
        R"({"event":"test_finished","verdict":"passed","properties":[["a"]]})",
        R"({"event":"test_finished","verdict":"passed","outcome":{"kind":"fine"}})", R"({"event":"run_started","format":2})",
        R"({"event":"run_finished","counts":{"passed":-1}})"})
    EXPECT_FALSE(replay(line, echo)) << line;
  EXPECT_TRUE(echo.lines.empty());
}

TEST(EventJson, newer_events_and_keys_are_passed_over) {
  Echo echo;
  EXPECT_TRUE(replay(R"({"event":"test_paused","id":"x"})", echo));
  EXPECT_TRUE(echo.lines.empty());
  EXPECT_TRUE(replay(R"({"event":"test_finished","id":"x","verdict":"passed","colour":"red"})", echo));
  EXPECT_EQ(echo.last.test.id, "x");
}

TEST(EventJson, deep_nesting_does_no_harm) {
  Echo echo;
  EXPECT_FALSE(replay(std::string(1 << 17, '['), echo));
  EXPECT_FALSE(replay(R"({"event":"test_finished","verdict":)" + std::string(1 << 17, '[') + std::string(1 << 17, ']') + "}", echo));
}

TEST(Events, every_verdict_has_a_word_of_its_own) {
  for (int i = 0; i <= static_cast<int>(Verdict::lost); ++i) EXPECT_EQ(verdict_of(word(static_cast<Verdict>(i))), static_cast<Verdict>(i));
  EXPECT_EQ(verdict_of("fine"), std::nullopt);
  EXPECT_TRUE(is_bad(Verdict::error));
  EXPECT_FALSE(is_bad(Verdict::cancelled));
}

}  // namespace
}  // namespace casemate
