// The fancy display on a real pseudo terminal; what it looks like is asked of pyte, a terminal emulator.
#include "report/test_live.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <nlohmann/json.hpp>

#include "hand_made_run.h"
#include "report/test_console.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

// Replays what a terminal was given, and prints what it showed at each "show".
constexpr std::string_view kEmulator = R"py(
import json, sys
try:
    import pyte
except ImportError:
    sys.exit(77)
steps = json.load(open(sys.argv[1]))
screen = pyte.HistoryScreen(80, 24, history=10000, ratio=1)
stream = pyte.ByteStream(screen)
shown = []
for kind, value in steps:
    if kind == "size": screen.resize(value[1], value[0])
    elif kind == "bytes": stream.feed(bytes.fromhex(value))
    else:
        above = ["".join(line[x].data for x in range(screen.columns)).rstrip() for line in screen.history.top]
        lines = [line.rstrip() for line in screen.display]
        while lines and not lines[-1]: lines.pop()
        shown.append({"lines": above + lines, "cursor": [screen.cursor.x, screen.cursor.y], "wraps": pyte.modes.DECAWM in screen.mode,
                      "hidden": screen.cursor.hidden})
json.dump(shown, open(sys.argv[2], "w"))
)py";

class OnScreen : public testing::Test {
 protected:
  void SetUp() override {
    struct termios raw{};
    ::cfmakeraw(&raw);
    int master = -1;
    int slave = -1;
    if (::openpty(&master, &slave, nullptr, &raw, nullptr) < 0) GTEST_SKIP() << "no pseudo terminal here: " << std::strerror(errno);
    master_ = UniqueFd(master);
    slave_ = UniqueFd(slave);
    for (const auto& [name, value] : {std::pair("TERM", "xterm"), std::pair("NO_COLOR", "1")}) {
      const char* before = ::getenv(name);
      before_.emplace_back(name, before ? std::optional<std::string>(before) : std::nullopt);
      ::setenv(name, value, 1);
    }
    std::string name = testing::TempDir() + "casemate-screen-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    resize(80, 24);
  }
  void TearDown() override {
    for (const auto& [name, value] : before_) value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
    if (!directory_.empty()) fs::remove_all(directory_);
  }
  [[nodiscard]] ConsoleOptions fancy() const {
    ConsoleOptions options;
    options.fd = slave_.get();
    options.display = TestConsole::display_for(slave_.get());
    EXPECT_EQ(options.display, ConsoleOptions::Display::fancy);
    options.slow_after = seconds(30);
    return options;
  }
  void resize(unsigned short columns, unsigned short rows) {
    take();
    const struct winsize size{rows, columns, 0, 0};
    ASSERT_EQ(::ioctl(master_.get(), TIOCSWINSZ, &size), 0);
    steps_.push_back({"size", {columns, rows}});
  }
  // What has been written since the last call.
  std::string take() {
    std::string bytes;
    pollfd ready{master_.get(), POLLIN, 0};
    while (::poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN)) {
      char buffer[4096];
      const ssize_t got = ::read(master_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      bytes.append(buffer, static_cast<std::size_t>(got));
    }
    std::string hex;
    for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    if (!bytes.empty()) steps_.push_back({"bytes", hex});
    return bytes;
  }
  void look() {
    take();
    steps_.push_back({"show", nullptr});
  }
  // What the terminal showed at each look(); empty where there is no emulator.
  std::vector<nlohmann::json> shown() {
    take();
    const std::string python = CASEMATE_BINARY_DIR "/venv/bin/python";
    std::ofstream(directory_ + "/emulate.py") << kEmulator;
    std::ofstream(directory_ + "/steps") << steps_.dump();
    const int status = std::system(fmt::format("{} {}/emulate.py {}/steps {}/shown", python, directory_, directory_, directory_).c_str());
    if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127) return {};
    EXPECT_EQ(status, 0);
    return nlohmann::json::parse(read_file(directory_ + "/shown").value_or("[]"));
  }
  static std::string text(const nlohmann::json& shown) {
    std::string lines;
    for (const auto& line : shown["lines"]) lines += line.get<std::string>() + "\n";
    return lines;
  }

  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
  UniqueFd master_;
  UniqueFd slave_;
  std::string directory_;
  nlohmann::json steps_ = nlohmann::json::array();
};

#define LOOKED(screens, count)                                                      \
  const auto screens = shown();                                                     \
  if ((screens).empty()) GTEST_SKIP() << "no pyte in " CASEMATE_BINARY_DIR "/venv"; \
  ASSERT_EQ((screens).size(), static_cast<std::size_t>(count))

TEST_F(OnScreen, failures_scroll_above_the_live_lines) {
  const TestResult one = passed("tests/test_a.py::test_one");
  const TestResult two = failed("tests/test_a.py::test_two");
  {
    TestConsole console(fancy());
    console.run_started(run_start());
    console.progress("pulling docker://python: 12 MiB of 45 MiB", false);
    console.tick(seconds(1));
    look();
    console.collected(collected(3));
    console.test_started({&one.test, 0, 1, seconds(1)});
    console.test_started({&two.test, 1, 2, seconds(2)});
    console.tick(seconds(4));
    look();
    console.tick(seconds(40));
    look();
    console.test_finished(two);
    console.tick(seconds(41));
    look();
    RunEnd end;
    end.counts[0] = end.counts[1] = 1;
    end.took = seconds(42);
    EXPECT_EQ(console.run_finished(end), "");
    look();
  }
  LOOKED(screens, 5);
  const std::string found = "collected 3 tests in 0.25s (Python 3.11.7, pytest 8.1.1, 2 slots)\n";
  const std::string failure =
      "_______________________ FAIL  tests/test_a.py::test_two ________________________\n"
      "    def test_b():\n"
      ">       assert 1 == 2\n"
      "E       assert 1 == 2\n"
      "\n"
      "tests/test_a.py:3: AssertionError\n"
      "----------------------------- Captured stdout call -----------------------------\n"
      "said\n"
      "----------------------------- Captured stderr call -----------------------------\n"
      "warned\n";
  EXPECT_EQ(text(screens[0]),
            "[                              ] collecting  1.0s\n"
            "     pulling docker://python: 12 MiB of 45 MiB\n");
  EXPECT_EQ(text(screens[1]), found +
                                  "[                              ] 0/3  4.0s\n"
                                  "    3.0s      tests/test_a.py::test_one\n"
                                  "    2.0s      (try 2) tests/test_a.py::test_two\n");
  EXPECT_EQ(text(screens[2]), found +
                                  "[                              ] 0/3  40s\n"
                                  "     39s SLOW tests/test_a.py::test_one\n"
                                  "     38s SLOW (try 2) tests/test_a.py::test_two\n");
  EXPECT_EQ(text(screens[3]), found + failure +
                                  "[=========>                    ] 1/3  1 failed  41s\n"
                                  "     40s SLOW tests/test_a.py::test_one\n");
  EXPECT_EQ(text(screens[4]), found + failure +
                                  "============================== short test summary ==============================\n"
                                  "FAIL tests/test_a.py::test_two - AssertionError: assert 1 == 2\n"
                                  "========================= 1 failed, 1 passed in 42.00s =========================\n");
  for (const auto& screen : screens) {
    EXPECT_EQ(screen["cursor"][0], 0);
    EXPECT_TRUE(screen["wraps"]);
    EXPECT_FALSE(screen["hidden"]);
  }
}

TEST_F(OnScreen, hostile_and_wide_names_never_break_a_line) {
  const TestResult wide = passed(
      "tests/"
      "test_a.py::test_漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字["
      "👩‍👩‍👧‍👦👩‍👩‍👧‍👦 "
      "e\xcc\x81\xcc\x81\xcc\x81]");
  const TestResult hostile = passed(kHostileId);
  TestConsole console(fancy());
  resize(40, 10);
  console.run_started(run_start());
  console.collected(collected(2));
  console.test_started({&wide.test, 0, 1, seconds(0)});
  console.test_started({&hostile.test, 1, 1, seconds(0)});
  for (int i = 1; i < 20; ++i) console.tick(seconds(i));
  look();
  EXPECT_EQ(console.run_finished({}), "");
  LOOKED(screens, 1);
  const auto lines = screens[0]["lines"];
  ASSERT_EQ(lines.size(), 5u) << text(screens[0]);  // what was collected takes two
  EXPECT_TRUE(lines[2].get<std::string>().starts_with("[")) << text(screens[0]);
  EXPECT_TRUE(lines[3].get<std::string>().starts_with("     19s      ...")) << text(screens[0]);
  EXPECT_EQ(lines[4].get<std::string>(), "     19s      ...u{202e}\\xff<script>`|]");
}

TEST_F(OnScreen, it_follows_the_size_of_the_terminal) {
  std::vector<TestResult> tests;
  for (int i = 0; i < 12; ++i) tests.push_back(passed(fmt::format("tests/test_some_module.py::TestClass::test_number[{}]", i)));
  TestConsole console(fancy());
  RunStart run = run_start();
  run.slots = 12;
  console.run_started(run);
  console.collected(collected(12));
  std::uint32_t slot = 0;
  for (const TestResult& test : tests) console.test_started({&test.test, slot++, 1, seconds(0)});
  console.tick(seconds(1));
  look();
  resize(30, 24);
  console.tick(seconds(2));
  look();
  resize(80, 24);
  console.tick(seconds(3));
  look();
  LOOKED(screens, 3);
  ASSERT_EQ(screens[0]["lines"].size(), 14u) << text(screens[0]);
  EXPECT_EQ(screens[0]["lines"][13], "    1.0s      tests/test_some_module.py::TestClass::test_number[11]");
  ASSERT_EQ(screens[1]["lines"].size(), 14u) << text(screens[1]);
  EXPECT_EQ(screens[1]["lines"][1], "[                ] 0/12  2.0s");
  EXPECT_EQ(screens[1]["lines"][13], "    2.0s      ...t_number[11]");
  ASSERT_EQ(screens[2]["lines"].size(), 14u) << text(screens[2]);
  EXPECT_EQ(screens[2]["lines"][13], "    3.0s      tests/test_some_module.py::TestClass::test_number[11]");
}

TEST_F(OnScreen, a_terminal_of_few_rows_gets_few_lines) {
  std::vector<TestResult> tests;
  for (int i = 0; i < 12; ++i) tests.push_back(passed(fmt::format("a.py::test_{}", i)));
  resize(80, 5);
  TestConsole console(fancy());
  RunStart run = run_start();
  run.slots = 12;
  console.run_started(run);
  console.collected(collected(12));
  std::uint32_t slot = 0;
  for (const TestResult& test : tests) console.test_started({&test.test, slot++, 1, seconds(0)});
  for (int i = 1; i < 9; ++i) console.tick(seconds(i));
  look();
  EXPECT_EQ(console.run_finished({}), "");
  LOOKED(screens, 1);
  EXPECT_EQ(text(screens[0]),
            "collected 12 tests in 0.25s (Python 3.11.7, pytest 8.1.1, 12 slots)\n"
            "[                              ] 0/12  8.0s\n"
            "    8.0s      a.py::test_0\n"
            "    8.0s      a.py::test_1\n"
            "         ... and 10 more\n");
}

TEST_F(OnScreen, a_console_that_is_dropped_leaves_nothing) {
  {
    TestConsole console(fancy());
    console.run_started(run_start());
    console.collected(collected(2));
    console.tick(seconds(1));
  }
  look();
  LOOKED(screens, 1);
  EXPECT_EQ(text(screens[0]), "collected 2 tests in 0.25s (Python 3.11.7, pytest 8.1.1, 2 slots)\n");
}

TEST_F(OnScreen, quiet_is_one_line) {
  ConsoleOptions options = fancy();
  options.display = ConsoleOptions::Display::quiet;
  const TestResult one = failed("a.py::one");
  TestConsole console(options);
  console.run_started(run_start());
  console.progress("installing 3 packages", false);
  console.tick(seconds(1));
  look();
  console.collected(collected(2));
  console.test_started({&one.test, 0, 1, seconds(1)});
  console.test_finished(one);
  console.tick(seconds(2));
  look();
  LOOKED(screens, 2);
  EXPECT_EQ(text(screens[0]), "installing 3 packages\n");
  EXPECT_EQ(text(screens[1]), "[==============>               ] 1/2  1 failed  2.0s\n");
}

TEST_F(OnScreen, it_writes_no_more_than_has_changed) {
  const TestResult one = passed("a.py::one");
  TestConsole console(fancy());
  console.run_started(run_start());
  console.collected(collected(2));
  console.test_started({&one.test, 0, 1, seconds(0)});
  console.tick(seconds(20));
  take();
  console.tick(seconds(20) + std::chrono::milliseconds(500));
  EXPECT_EQ(take(), "");  // it shows whole seconds now
  console.tick(seconds(20) + std::chrono::milliseconds(510));
  EXPECT_EQ(take(), "");
  console.tick(seconds(21));
  EXPECT_LT(take().size(), 120u);
  EXPECT_EQ(console.run_finished({}), "");
}

TEST_F(OnScreen, a_terminal_that_is_stopped_gets_the_present_and_not_the_past) {
  TestConsole console(fancy());
  console.run_started(run_start());
  console.collected(collected(2));
  for (int i = 0; i < 100'000; ++i) console.tick(seconds(i));  // nobody reads: the terminal's buffer fills, and must not be waited for
  const std::string first = take();
  EXPECT_LT(first.size(), 100'000u);
  console.tick(seconds(100'001));
  EXPECT_NE(take().find("27h46m"), std::string::npos);
  std::thread reader([&] {
    pollfd ready{master_.get(), POLLIN, 0};
    char buffer[4096];
    while (::poll(&ready, 1, 300) > 0 && ::read(master_.get(), buffer, sizeof buffer) > 0) {
    }
  });
  EXPECT_EQ(console.run_finished({}), "");
  reader.join();
}

TEST(TestLive, a_bar_fits_every_width) {
  LiveState state;
  state.selected = 1234;
  state.finished = 617;
  state.counts.counts[static_cast<int>(Verdict::passed)] = 600;
  state.counts.counts[static_cast<int>(Verdict::failed)] = 17;
  state.now = seconds(75);
  EXPECT_EQ(bar_line(state, 79, false), "[==============>               ] 617/1234  17 failed, 600 passed  1m15s");
  EXPECT_EQ(bar_line(state, 42, false), "617/1234  17 failed, 600 passed  1m15s");
  EXPECT_EQ(bar_line(state, 30, false), "[=====>      ] 617/1234  1m15s");
  EXPECT_EQ(bar_line(state, 9, false), "617/1234");
  for (std::size_t columns = 1; columns < 120; ++columns) EXPECT_LE(columns_of(bar_line(state, columns, false)), columns);
}

TEST(TestLive, times_are_short) {
  EXPECT_EQ(short_time(std::chrono::milliseconds(345)), "0.3s");
  EXPECT_EQ(short_time(seconds(59)), "59s");
  EXPECT_EQ(short_time(seconds(125)), "2m05s");
  EXPECT_EQ(short_time(seconds(3720)), "1h02m");
}

TEST(Columns, wide_characters_take_two_and_marks_none) {
  EXPECT_EQ(columns_of("abc"), 3u);
  EXPECT_EQ(columns_of("漢字"), 4u);
  EXPECT_EQ(columns_of("e\xcc\x81"), 1u);
  EXPECT_EQ(columns_of("😀"), 2u);
  EXPECT_EQ(end_within("tests/漢字漢字", 8), "...漢字");
  EXPECT_EQ(begin_within("漢字漢字漢字", 8), "漢字...");
  EXPECT_EQ(end_within("abcdef", 6), "abcdef");
  EXPECT_EQ(end_within("abcdef", 5), "...ef");
  EXPECT_EQ(end_within("abcdef", 2), "..");
  EXPECT_EQ(rule("x", '-', 11), "---- x ----");
  EXPECT_EQ(rule("longer than that", '-', 5), "--- longer than that ---");
}

}  // namespace
}  // namespace casemate
