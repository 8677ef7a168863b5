// TestConsole with events made by hand: the texts that people see, exactly.
#include "report/test_console.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "hand_made_run.h"

namespace casemate {
namespace {

ConsoleOptions simple() {
  ConsoleOptions options;
  options.tries = 3;
  return options;
}

std::string shown(ConsoleOptions options, const std::vector<TestResult>& results, const RunEnd& end = {}) {
  return written([&](int fd) {
    options.fd = fd;
    TestConsole console(options);
    EXPECT_EQ(give(console, results, end), "");
  });
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(TestConsole, tests_that_pass_take_a_line_each) {
  EXPECT_EQ(shown(simple(), {passed("tests/test_a.py::test_a"), passed("tests/test_a.py::TestB::test_c[1]")}),
            "collected 2 tests in 0.25s (Python 3.11.7, pytest 8.1.1, 2 slots)\n"
            "   PASS [   0.012s] tests/test_a.py::test_a\n"
            "   PASS [   0.012s] tests/test_a.py::TestB::test_c[1]\n"
            "============================== 2 passed in 1.50s ===============================\n");
}

const std::string kFailure =
    "________________________ FAIL  tests/test_a.py::test_b _________________________\n"
    "    def test_b():\n"
    ">       assert 1 == 2\n"
    "E       assert 1 == 2\n"
    "\n"
    "tests/test_a.py:3: AssertionError\n"
    "----------------------------- Captured stdout call -----------------------------\n"
    "said\n"
    "----------------------------- Captured stderr call -----------------------------\n"
    "warned\n";
const std::string kShortSummary =
    "============================== short test summary ==============================\n"
    "FAIL tests/test_a.py::test_b - AssertionError: assert 1 == 2\n";

TEST(TestConsole, a_failure_is_told_when_it_comes_and_again_at_the_end) {
  EXPECT_EQ(shown(simple(), {failed("tests/test_a.py::test_b")}),
            "collected 1 test in 0.25s (Python 3.11.7, pytest 8.1.1, 2 slots)\n"
            "   FAIL [   0.012s] tests/test_a.py::test_b\n" +
                kFailure + "=================================== FAILURES ===================================\n" + kFailure + kShortSummary +
                "============================== 1 failed in 1.50s ===============================\n");
}

TEST(TestConsole, of_a_plan_says_each_thing_once) {
  ConsoleOptions options = simple();
  options.of_plan = true;
  options.verbosity = 1;
  TestResult good = passed("a.yaml::serve");
  good.leftovers = {{7, "sleep"}};
  good.properties = {{"name", "serves"}};
  TestResult bad = failed("a.yaml::bad");
  bad.outcome = {Outcome::Kind::timed_out, 0, "", ""};
  bad.leftovers = good.leftovers;
  TestResult skipped = passed("a.yaml::later");
  skipped.verdict = Verdict::skipped;
  skipped.reason = "'bad' did not pass";
  const std::string said = shown(options, {good, bad, skipped});
  EXPECT_TRUE(
      said.starts_with("3 cases, up to 2 at a time\n"
                       "   PASS [   0.012s] a.yaml::serve\n"
                       "    serves\n"))
      << said;
  EXPECT_EQ(said.find("tests/test_a.py:3: AssertionError"), said.rfind("tests/test_a.py:3: AssertionError")) << said;
  EXPECT_FALSE(contains(said, "its process") || contains(said, "LEAK") || contains(said, "leak") || contains(said, "FAILURES")) << said;
  EXPECT_TRUE(contains(said, "TIMEOUT a.yaml::bad - AssertionError: assert 1 == 2\nSKIP a.yaml::later - 'bad' did not pass\n")) << said;
  options.display = ConsoleOptions::Display::quiet;
  EXPECT_TRUE(contains(shown(options, {good, skipped}), "SKIP a.yaml::later - 'bad' did not pass\n"));
}

TEST(TestConsole, q_shows_failures_once_and_the_counts) {
  ConsoleOptions options = simple();
  options.verbosity = -1;
  EXPECT_EQ(shown(options, {passed("a.py::a"), failed("tests/test_a.py::test_b")}),
            kFailure + kShortSummary + "1 failed, 1 passed in 1.50s\n");
}

TEST(TestConsole, quiet_says_nothing_before_the_summary) {
  ConsoleOptions options = simple();
  options.display = ConsoleOptions::Display::quiet;
  EXPECT_EQ(shown(options, {passed("a.py::a"), failed("tests/test_a.py::test_b")}), kShortSummary + "1 failed, 1 passed in 1.50s\n");
}

TEST(TestConsole, every_end_has_its_word) {
  using Kind = Outcome::Kind;
  const auto line = [](const TestResult& result, int verbosity = 0) {
    ConsoleOptions options = simple();
    options.verbosity = verbosity;
    const std::string text = shown(options, {result});
    const std::size_t begin = text.find('\n') + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  EXPECT_EQ(line(with_verdict("a", Verdict::skipped, "no network")), "   SKIP [   0.012s] a");
  EXPECT_EQ(line(with_verdict("a", Verdict::skipped, "no network"), 1), "   SKIP [   0.012s] a  (no network)");
  EXPECT_EQ(line(with_verdict("a", Verdict::xfailed, "bug 3"), 1), "  XFAIL [   0.012s] a  (bug 3)");
  EXPECT_EQ(line(with_verdict("a", Verdict::xpassed)), "  XPASS [   0.012s] a");
  EXPECT_EQ(line(with_verdict("a", Verdict::ignored)), "IGNORED [   0.012s] a");
  EXPECT_EQ(line(with_verdict("a", Verdict::error, "fixture")), "  ERROR [   0.012s] a");
  EXPECT_EQ(line(with_verdict("a", Verdict::lost, "its warm parent died twice")), "   LOST [   0.012s] a");
  EXPECT_EQ(line(ended("a", Kind::timed_out)), "TIMEOUT [   0.012s] a");
  EXPECT_EQ(line(ended("a", Kind::signaled, 11)), "CRASH (SIGSEGV) [   0.012s] a");
  EXPECT_EQ(line(ended("a", Kind::exited, 3)), "EXIT (3) [   0.012s] a");
  EXPECT_EQ(line(ended("a", Kind::out_of_memory)), "    OOM [   0.012s] a  (out of memory)");
  EXPECT_EQ(line(ended("a", Kind::too_many_processes)), "PROCESSES [   0.012s] a  (too many processes)");
  EXPECT_EQ(line(ended("a", Kind::output_limit)), " OUTPUT [   0.012s] a  (output limit)");
  EXPECT_EQ(line(ended("a", Kind::disk_limit)), "   DISK [   0.012s] a  (disk limit)");
  TestResult first = failed("a");
  first.last = false;
  EXPECT_EQ(line(first), "RETRY 1/3 [   0.012s] a  FAIL  (AssertionError: assert 1 == 2)");
  TestResult second = passed("a");
  second.attempt = 2;
  second.flaky = true;
  EXPECT_EQ(line(second), "FLAKY 2/3 [   0.012s] a");
}

TEST(TestConsole, leftover_processes_are_named) {
  TestResult leak = passed("a.py::leak");
  leak.leftovers = {{12, "sleep"}, {15, "sh"}};
  const std::string text = shown(simple(), {leak});
  EXPECT_TRUE(
      contains(text, "   PASS [   0.012s] a.py::leak\n   LEAK [   0.012s] a.py::leak: 2 processes left behind: sleep (12), sh (15)\n"))
      << text;
  EXPECT_TRUE(contains(text, "\nLEAK a.py::leak - 2 processes left behind: sleep (12), sh (15)\n")) << text;
}

TEST(TestConsole, warnings_are_gathered) {
  std::vector<TestResult> results = {passed("a.py::one"), passed("a.py::two"), passed("a.py::three")};
  for (TestResult& result : results) result.warnings = {{"DeprecationWarning", "old thing\nsecond line", "/x/a.py", 12}};
  results[2].warnings[0].line = 13;
  const std::string text = shown(simple(), results);
  EXPECT_TRUE(contains(text,
                       "=============================== warnings summary ===============================\n"
                       "a.py::one\na.py::two\n  /x/a.py:12: DeprecationWarning: old thing\n  second line\n\n"
                       "a.py::three\n  /x/a.py:13: DeprecationWarning: old thing\n  second line\n\n"))
      << text;
  EXPECT_TRUE(contains(text, " 3 passed, 3 warnings in 1.50s ")) << text;
}

TEST(TestConsole, long_texts_keep_head_and_tail) {
  TestResult result = failed("a.py::long");
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "line " + std::to_string(i) + "\n";
  result.reports[1].sections = {{"Captured stdout call", lines}, {"Captured stderr call", "short\n"}};
  ConsoleOptions options = simple();
  options.inline_limit = 1000;
  const std::string text = shown(options, {result});
  EXPECT_LT(text.size(), 4000u);
  EXPECT_TRUE(contains(text, "line 0\n")) << text;
  EXPECT_TRUE(contains(text, "line 4999\n")) << text;
  EXPECT_TRUE(contains(text, " bytes left out ...]\n")) << text;
  EXPECT_TRUE(contains(text, "short\n")) << text;
  EXPECT_TRUE(contains(text, "E       assert 1 == 2\n")) << text;
}

TEST(TestConsole, failures_of_many_megabytes_are_told_again_only_in_part) {
  TestResult result = failed("a.py::long");
  result.reports[1].text = std::string(900'000, 'x');
  const std::string text = shown(simple(), std::vector<TestResult>(40, result));
  EXPECT_GT(text.size(), 40u * 900'000);
  EXPECT_LT(text.size(), 60u * 900'000);
  EXPECT_EQ(times(text, "\nFAIL a.py::long - "), 40u);
}

TEST(TestConsole, slow_tests_and_what_runs_now) {
  const std::string text = written([](int fd) {
    ConsoleOptions options;
    options.fd = fd;
    options.slow_after = std::chrono::seconds(10);
    TestConsole console(options);
    console.run_started(run_start());
    console.collected(collected(2));
    const TestResult one = passed("a.py::one");
    console.test_started({&one.test, 0, 1, std::chrono::seconds(1)});
    console.tick(std::chrono::seconds(5));
    console.tick(std::chrono::seconds(12));
    console.tick(std::chrono::seconds(13));
    console.tick(std::chrono::seconds(21));
    console.show_running();
    console.test_finished(one);
    console.tick(std::chrono::seconds(90));
    EXPECT_EQ(console.run_finished({}), "");
  });
  EXPECT_EQ(text,
            "collected 2 tests in 0.25s (Python 3.11.7, pytest 8.1.1, 2 slots)\n"
            "   SLOW [> 10.000s] a.py::one\n"
            "   SLOW [> 20.000s] a.py::one\n"
            "0 of 2 finished after 21s, 1 running\n"
            "     20s  a.py::one\n"
            "   PASS [   0.012s] a.py::one\n"
            "============================ no tests ran in 0.00s =============================\n");
}

TEST(TestConsole, v_tells_more) {
  TestResult result = passed("a.py::one");
  result.properties = {{"key", "val\nue"}};
  result.notes = {"isolation cold: it left threads running"};
  ConsoleOptions options = simple();
  options.verbosity = 1;
  const std::string text = shown(options, {result});
  EXPECT_TRUE(contains(text, "a.py::one\n    property: key = val\\nue\n    note: isolation cold: it left threads running\n")) << text;
}

TEST(TestConsole, hostile_names_and_texts_drive_nothing) {
  TestResult hostile = failed(kHostileId);
  hostile.reports[1].text = kHostileText;
  hostile.reports[1].message = kHostileText;
  hostile.reports[1].sections = {{kHostileText, kHostileText}};
  hostile.reason = kHostileText;
  hostile.notes = {kHostileText};
  hostile.leftovers = {{1, kHostileText}};
  hostile.warnings = {{kHostileText, kHostileText, kHostileText, 1}};
  hostile.properties = {{kHostileText, kHostileText}};
  hostile.output.err = kHostileText;
  for (const bool as_maelstrom : {false, true}) {
    for (const Color color : {Color::never, Color::always}) {
      ConsoleOptions options = simple();
      options.as_maelstrom = as_maelstrom;
      options.on_github = true;
      options.color = color;
      options.verbosity = 2;
      RunEnd end;
      end.stopped_because = kHostileText;
      end.problem = kHostileText;
      std::string text = shown(options, {hostile}, end);
      EXPECT_FALSE(contains(text, "##["));
      for (const char* ours : {"0", "1", "31", "32", "33", "35", "1;31"}) {
        const std::string sequence = std::string("\x1b[") + ours + "m";
        for (std::size_t at; (at = text.find(sequence)) != std::string::npos;) text.erase(at, sequence.size());
      }
      for (const char byte : text) EXPECT_TRUE(byte == '\n' || byte == '\t' || static_cast<unsigned char>(byte) >= 0x20) << int(byte);
      EXPECT_FALSE(contains(text, "\xff"));
      EXPECT_FALSE(contains(text, kOverride));
      for (std::size_t at = 0; (at = text.find("::", at)) != std::string::npos; ++at) {
        const std::size_t line = text.rfind('\n', at) + 1;
        EXPECT_NE(text.find_first_not_of(' ', line), at) << text.substr(line, 80);
      }
    }
  }
}

TEST(TestConsole, as_maelstrom_pytest_prints_it) {
  ConsoleOptions options = simple();
  options.as_maelstrom = true;
  RunEnd end;
  end.not_run = 2;
  EXPECT_EQ(shown(options,
                  {passed("tests/test_a.py::test_a"), failed("tests/test_a.py::test_b"),
                   ended("tests/test_a.py::test_t", Outcome::Kind::timed_out), with_verdict("tests/test_a.py::test_s", Verdict::ignored),
                   passed("tests/test_long.py::" + std::string(80, 'x'))},
                  end),
            "tests/test_a.py::test_a..............................................OK   0.012s\n"
            "tests/test_a.py::test_b............................................FAIL   0.012s\n"
            "\n"
            "    def test_b():\n"
            ">       assert 1 == 2\n"
            "E       assert 1 == 2\n"
            "\n"
            "tests/test_a.py:3: AssertionError\n"
            "----------------------------- Captured stdout call -----------------------------\n"
            "said\n"
            "----------------------------- Captured stderr call -----------------------------\n"
            "warned\n"
            "tests/test_a.py::test_t.........................................TIMEOUT   0.012s\n"
            "timed out\n"
            "tests/test_a.py::test_s.........................................IGNORED         \n"
            "<xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.OK   0.012s\n"
            "\n"
            "================================= Test Summary =================================\n"
            "Successful Tests:         2\n"
            "Failed Tests    :         2\n"
            "    tests/test_a.py::test_b: failure\n"
            "    tests/test_a.py::test_t: failure\n"
            "Ignored Tests   :         1\n"
            "    tests/test_a.py::test_s: ignored\n"
            "Tests Not Run   :         2\n"
            "\n");
}

TEST(TestConsole, as_maelstrom_pytest_what_has_no_time_has_blanks) {
  ConsoleOptions options = simple();
  options.as_maelstrom = true;
  const auto lines = [&](const TestResult& result) {
    const std::string text = shown(options, {result});
    return text.substr(0, text.find("\n\n="));
  };
  EXPECT_EQ(lines(with_verdict("a", Verdict::skipped, "no network")), "a" + std::string(63, '.') + "IGNORED         ");
  EXPECT_EQ(lines(with_verdict("a", Verdict::lost, "died twice")), "a" + std::string(67, '.') + "ERR         \nsystem error: died twice");
  TestResult unmade = ended("a", Outcome::Kind::setup_failed);
  unmade.outcome.step = "mount /x";
  EXPECT_TRUE(lines(unmade).starts_with("a" + std::string(67, '.') + "ERR         \nexecution error: setup failed (mount /x"))
      << lines(unmade);
  EXPECT_EQ(lines(ended("a", Outcome::Kind::signaled, 11)), "a" + std::string(66, '.') + "FAIL   0.012s\nkilled by signal 11");
  TestResult stripped = failed("a");
  stripped.reports[1].text = "def test_b(one):\n>       assert 0\nE       assert 0";
  EXPECT_TRUE(contains(lines(stripped), "FAIL   0.012s\n\n    def test_b(one):\n>       assert 0\nE       assert 0\n")) << lines(stripped);
  stripped.reports[1].text = "a.py:1: in test_b\n    assert 0\nE   assert 0";
  EXPECT_TRUE(contains(lines(stripped), "FAIL   0.012s\na.py:1: in test_b\n")) << "--tb=short has no empty line";
}

TEST(TestConsole, as_maelstrom_pytest_repetitions_have_one_summary) {
  ConsoleOptions options = simple();
  options.as_maelstrom = true;
  for (const bool stopped : {false, true}) {
    const std::string text = written([&](int fd) {
      options.fd = fd;
      TestConsole console(options);
      for (std::uint32_t repetition = 1; repetition <= (stopped ? 2u : 3u); ++repetition) {
        RunStart start;
        start.repetition = repetition;
        start.repetitions = 3;
        console.run_started(start);
        Collected collected;
        collected.selected = 3;
        collected.ignored = 1;
        if (repetition == 1) console.collected(collected);
        console.test_finished(with_verdict("i", Verdict::ignored));
        console.test_finished(passed("p"));
        if (!stopped || repetition == 1) console.test_finished(failed("f"));
        RunEnd end;
        if (stopped && repetition == 2) end = RunEnd{.not_run = 1, .stopped_because = "interrupted"};
        EXPECT_EQ(console.run_finished(end), "");
      }
    });
    EXPECT_EQ(times(text, " Test Summary "), 1u) << text;
    EXPECT_EQ(times(text, "IGNORED"), 1u) << text;
    EXPECT_FALSE(contains(text, "repetition")) << text;
    const std::string row = "    f: failure\n";
    const std::string rows = stopped ? row : row + row + row;
    EXPECT_TRUE(text.ends_with(
        fmt::format("Successful Tests:         {}\nFailed Tests    :         {}\n{}Ignored Tests   :         1\n    i: ignored\n{}\n",
                    stopped ? 2 : 3, stopped ? 1 : 3, rows, stopped ? "Tests Not Run   :         3\n" : "")))
        << text;
  }
}

TEST(TestConsole, as_maelstrom_pytest_it_says_how_many_bytes_are_lost) {
  TestResult result = failed("a.py::long");
  result.reports[1].sections = {{"Captured stderr call", std::string(100'000, 'x')}};
  ConsoleOptions options = simple();
  options.as_maelstrom = true;
  options.inline_limit = 1000;
  const std::string text = shown(options, {result});
  EXPECT_TRUE(contains(text, "\nstderr truncated, 99")) << text;
  EXPECT_TRUE(contains(text, " bytes lost\n")) << text;
}

TEST(TestConsole, a_full_disk_is_told_and_a_reader_that_left_is_not) {
  auto full = open_file("/dev/full", O_WRONLY);
  ASSERT_TRUE(full);
  ConsoleOptions options = simple();
  options.fd = full->get();
  {
    TestConsole console(options);
    EXPECT_EQ(give(console, {passed("a")}), "can't write the results: No space left on device");
  }
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  Pipe pipe = make_pipe().value();
  pipe.read.reset();
  options.fd = pipe.write.get();
  TestConsole console(options);
  EXPECT_EQ(give(console, {passed("a")}), "");
  ::signal(SIGPIPE, before);
}

}  // namespace
}  // namespace casemate
