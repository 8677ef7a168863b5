// When and in which words a person hears that inputs are sent.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "report/sending_teller.h"

namespace casemate {
namespace {

using Phase = SendingProgress::Phase;
using Style = SendingTeller::Style;

constexpr std::uint64_t kMiB = 1u << 20;

SendingProgress sending(std::uint64_t done, std::uint64_t all) {
  return {.phase = Phase::sending, .bytes_done = done * kMiB, .bytes = all * kMiB, .files_done = 812, .files = 3177, .to = "grpc://a:1"};
}
SendingProgress done(std::uint64_t all) {
  SendingProgress progress = sending(all, all);
  progress.phase = Phase::done;
  return progress;
}

std::vector<std::string> told(Style style, const std::vector<SendingProgress>& all) {
  std::vector<std::string> lines;
  SendingTeller teller(style, [&](std::string_view line) { lines.emplace_back(line); });
  for (const SendingProgress& each : all) teller.tell(each);
  return lines;
}
using Lines = std::vector<std::string>;

TEST(SendingTeller, says_how_much_and_where_to) {
  EXPECT_EQ(sending_line(sending(120, 300)), "sends 120.0 MiB of 300.0 MiB (812 of 3177 files) to grpc://a:1");
  EXPECT_EQ(sending_line({.bytes_done = 5, .files_done = 1}), "reads inputs: 5 B (1 file)");
  EXPECT_EQ(sending_line(done(300)), "has sent 300.0 MiB (3177 files) to grpc://a:1");
  SendingProgress odd = sending(1, 2);
  odd.to = "unix:/a\x1b[31m\n";
  EXPECT_EQ(sending_line(odd).find('\x1b'), std::string::npos);
}

TEST(SendingTeller, a_pipe_has_few_lines_and_only_of_much) {
  EXPECT_EQ(told(Style::lines, {sending(1, 15), sending(15, 15), done(15)}), Lines());
  EXPECT_EQ(told(Style::lines, {sending(1, 300), sending(2, 300), sending(300, 300), done(300), sending(1, 2), done(2)}),
            (Lines{sending_line(sending(1, 300)), sending_line(done(300))}));
}

TEST(SendingTeller, a_terminal_has_all_and_then_nothing) {
  EXPECT_EQ(told(Style::live, {sending(1, 2), sending(2, 2), done(2)}),
            (Lines{sending_line(sending(1, 2)), sending_line(sending(2, 2)), ""}));
}

TEST(SendingTeller, sinks_hear_of_much_and_that_it_is_over) {
  EXPECT_EQ(told(Style::events, {sending(1, 2), done(2)}), Lines());
  EXPECT_EQ(told(Style::events, {sending(1, 300), done(300)}), (Lines{sending_line(sending(1, 300)), ""}));
}

}  // namespace
}  // namespace casemate
