// LiveOutput on real pipes and a real terminal.
#include "report/live_output.h"

#include <thread>

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <termios.h>

#include "sys/fd.h"

namespace casemate {
namespace {

TEST(LiveOutput, a_pipe_gets_the_bytes_as_they_are) {
  auto pipe = make_pipe().value();
  {
    LiveOutput output(pipe.write.get());
    EXPECT_FALSE(output.terminal());
    output.add("a\x1b[31m\xff\r");
    EXPECT_TRUE(output.in_line());
    output.finish();
  }
  pipe.write.reset();
  EXPECT_EQ(read_all(pipe.read.get(), 100).value(), "a\x1b[31m\xff\r");
}

TEST(LiveOutput, a_reader_that_waits_makes_nobody_wait_and_loses_nothing) {
  auto pipe = make_pipe().value();
  const std::string piece(1 << 16, 'x');
  LiveOutput output(pipe.write.get());
  for (int i = 0; i < 48; ++i) output.add(piece);  // 3 MiB into a pipe that nobody reads: would hang here if it blocked
  std::string got;
  std::thread reader([&] { got = read_all(pipe.read.get(), 10 << 20).value(); });
  output.finish();
  pipe.write.reset();
  reader.join();
  EXPECT_EQ(got.size(), 48 * piece.size());
}

TEST(LiveOutput, a_reader_that_never_comes_costs_bounded_memory_and_is_told) {
  auto pipe = make_pipe().value();
  const std::string piece(1 << 20, 'x');
  LiveOutput output(pipe.write.get());
  for (int i = 0; i < 80; ++i) output.add(piece);
  std::string got;
  std::thread reader([&] { got = read_all(pipe.read.get(), 100 << 20).value(); });
  output.finish();
  pipe.write.reset();
  reader.join();
  EXPECT_LT(got.size(), 67u << 20);
  EXPECT_NE(got.find("bytes left out: their reader was too slow]"), std::string::npos);
}

TEST(LiveOutput, a_reader_that_went_away_is_no_failure) {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  auto pipe = make_pipe().value();
  pipe.read.reset();
  LiveOutput output(pipe.write.get());
  output.add("lost");
  output.finish();
  ::signal(SIGPIPE, before);
}

class OnTerminal : public testing::Test {
 protected:
  void SetUp() override {
    int master = -1;
    int slave = -1;
    struct termios raw{};
    ::cfmakeraw(&raw);
    if (::openpty(&master, &slave, nullptr, &raw, nullptr) < 0) GTEST_SKIP() << "no pseudo terminal here: " << std::strerror(errno);
    master_ = UniqueFd(master);
    slave_ = UniqueFd(slave);
  }
  std::string seen() {
    std::string text;
    pollfd ready{master_.get(), POLLIN, 0};
    while (::poll(&ready, 1, 200) > 0 && (ready.revents & POLLIN)) {
      char buffer[4096];
      const ssize_t got = ::read(master_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }
  UniqueFd master_;
  UniqueFd slave_;
};

TEST_F(OnTerminal, nothing_can_drive_it) {
  LiveOutput output(slave_.get());
  EXPECT_TRUE(output.terminal());
  output.add("a\x1b]0;owned\x07\xff\n");
  output.finish();
  EXPECT_EQ(seen(), "a\\x1b]0;owned\\x07\\xff\n");
}

TEST_F(OnTerminal, a_character_may_come_in_pieces) {
  LiveOutput output(slave_.get());
  output.add("caf\xc3");
  output.add("\xa9 \xe2");
  output.add("\x82");
  output.add("\xac \xf0\x9f");
  output.finish();
  EXPECT_EQ(seen(), "caf\xc3\xa9 \xe2\x82\xac \\xf0\\x9f");
}

TEST_F(OnTerminal, progress_bars_become_lines) {
  LiveOutput output(slave_.get());
  output.add("10%\r20%\r");
  output.add("\nnext\r\nlast\n\n");
  output.finish();
  EXPECT_EQ(seen(), "10%\n20%\nnext\nlast\n\n");
}

}  // namespace
}  // namespace casemate
