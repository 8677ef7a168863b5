#include "report/pull_progress.h"

#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include "sys/fd.h"

namespace casemate {
namespace {

using Phase = PullProgress::Phase;
using Style = PullDisplay::Style;

constexpr std::uint64_t kMiB = 1 << 20;

PullProgress at(Phase phase, std::size_t done = 0, std::uint64_t bytes_done = 0) {
  return {.phase = phase,
          .image = "docker://docker.io/library/python:3.11",
          .layers = 4,
          .layers_done = done,
          .bytes = 40 * kMiB,
          .bytes_done = bytes_done};
}

// What a display writes to a pipe while `tell` is told.
std::string shown(Style style, const std::vector<PullProgress>& told) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read(ends[0]);
  {
    const UniqueFd write(ends[1]);
    PullDisplay display(write.get(), style, false);
    for (const PullProgress& progress : told) display.tell(progress);
  }
  char text[8192];
  const ssize_t size = ::read(read.get(), text, sizeof text);
  return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
}

TEST(PullProgress, a_wide_line_says_all) {
  EXPECT_EQ(progress_line(at(Phase::fetching, 1, 10 * kMiB), 120, false),
            "fetching  [======                  ]  10.0 MiB of 40.0 MiB, 1 of 4 layers  docker://docker.io/library/python:3.11");
  EXPECT_EQ(progress_line(at(Phase::unpacking, 2), 120, false),
            "unpacking  [============            ]  2 of 4 layers  docker://docker.io/library/python:3.11");
  EXPECT_EQ(progress_line(at(Phase::resolving), 120, false), "resolving  docker://docker.io/library/python:3.11");
}

TEST(PullProgress, a_line_is_never_wider_than_the_screen) {
  for (std::size_t columns = 12; columns < 140; ++columns) {
    for (const Phase phase : {Phase::resolving, Phase::fetching, Phase::unpacking}) {
      for (const std::uint64_t bytes : {std::uint64_t{0}, 40 * kMiB, 900 * kMiB}) {
        const std::string line = progress_line(at(phase, 3, bytes), columns, false);
        EXPECT_LE(line.size(), columns) << line;
        EXPECT_GE(line.size(), 8u);
      }
    }
  }
}

TEST(PullProgress, numbers_that_make_no_sense_draw_no_nonsense) {
  PullProgress odd = at(Phase::fetching, 9, 90 * kMiB);
  EXPECT_NE(progress_line(odd, 120, false).find("[========================]  40.0 MiB of 40.0 MiB, 4 of 4"), std::string::npos);
  odd.bytes = 0;
  odd.layers = 0;
  EXPECT_EQ(progress_line(odd, 120, false), "fetching  docker://docker.io/library/python:3.11");
}

TEST(PullProgress, a_name_drives_no_terminal) {
  PullProgress hostile = at(Phase::resolving);
  hostile.image = "docker://\x1b]0;evil\a";
  EXPECT_EQ(progress_line(hostile, 80, false).find('\x1b'), std::string::npos);
  EXPECT_EQ(shown(Style::lines, {at(Phase::resolving),
                                 [&] {
                                   hostile.phase = Phase::fetching;
                                   return hostile;
                                 }()})
                .find('\x1b'),
            std::string::npos);
}

TEST(PullProgress, a_pipe_gets_a_line_a_phase_and_a_layer) {
  const std::string name = "docker://docker.io/library/python:3.11: ";
  EXPECT_EQ(shown(Style::lines, {at(Phase::resolving), at(Phase::fetching), at(Phase::fetching, 0, kMiB), at(Phase::fetching, 2, 8 * kMiB),
                                 at(Phase::fetching, 2, 9 * kMiB), at(Phase::unpacking), at(Phase::unpacking, 4), at(Phase::done, 4)}),
            name + "fetching 4 layers, 40.0 MiB\n" + name + "fetched 8.0 MiB of 40.0 MiB, 2 of 4 layers\n" + name + "unpacking 4 layers\n");
}

TEST(PullProgress, an_image_that_is_there_is_not_worth_a_line) {
  EXPECT_EQ(shown(Style::lines, {at(Phase::resolving), at(Phase::done, 4)}), "");
  EXPECT_EQ(shown(Style::silent, {at(Phase::fetching), at(Phase::done, 4)}), "");
}

TEST(PullProgress, a_live_line_is_written_over_and_gone_at_the_end) {
  const std::string text = shown(Style::live, {at(Phase::resolving), at(Phase::fetching, 1, kMiB)});
  EXPECT_TRUE(text.starts_with("\r\x1b[Kresolving")) << text;
  EXPECT_TRUE(text.ends_with("\r\x1b[K")) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(shown(Style::live, {}), "");
}

TEST(PullProgress, only_terminals_that_can_get_a_live_line) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read(ends[0]), write(ends[1]);
  int master = -1, slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  const UniqueFd ours(master), theirs(slave);
  ::setenv("TERM", "xterm", 1);
  EXPECT_EQ(PullDisplay::style_for(write.get()), Style::lines);
  EXPECT_EQ(PullDisplay::style_for(theirs.get()), Style::live);
  ::setenv("TERM", "dumb", 1);
  EXPECT_EQ(PullDisplay::style_for(theirs.get()), Style::lines);
  ::unsetenv("TERM");
}

}  // namespace
}  // namespace casemate
