#include "engine/capture.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace casemate {
namespace {

std::string gap(std::uint64_t bytes) { return "[casemate: " + std::to_string(bytes) + " bytes left out]\n"; }

// What the header promises, without a ring.
std::string model(const std::string& all, std::uint64_t limit) {
  if (all.size() <= limit) return all;
  const std::string head = all.substr(0, limit / 2);
  const std::string tail = all.substr(all.size() - (limit - limit / 2));
  return head + (head.empty() || head.back() == '\n' ? "" : "\n") + gap(all.size() - limit) + tail;
}

TEST(Capture, keeps_all_up_to_the_limit_exactly) {
  Capture capture(10);
  capture.add(Stream::out, "01234");
  capture.add(Stream::err, "56789");
  EXPECT_FALSE(capture.over_limit());
  EXPECT_EQ(capture.total(), 10u);
  const Output output = capture.take();
  EXPECT_EQ(output.out, "01234");
  EXPECT_EQ(output.err, "56789");
  EXPECT_EQ(output.merged, "0123456789");
  EXPECT_EQ(output.out_total, 5u);
  EXPECT_EQ(output.err_total, 5u);
  EXPECT_FALSE(output.truncated);
}

TEST(Capture, one_byte_more_costs_one_byte_in_the_middle) {
  Capture capture(10);
  capture.add(Stream::out, "0123456789X");
  EXPECT_TRUE(capture.over_limit());
  const Output output = capture.take();
  EXPECT_EQ(output.out, "01234\n" + gap(1) + "6789X");
  EXPECT_EQ(output.merged, output.out);
  EXPECT_TRUE(output.truncated);
  EXPECT_EQ(output.out_total, 11u);
}

TEST(Capture, a_flood_on_one_stream_does_not_push_out_the_other) {
  Capture capture(100);
  capture.add(Stream::out, "the answer\n");
  for (int i = 0; i < 1000; ++i) capture.add(Stream::err, "noise\n");
  const Output output = capture.take();
  EXPECT_EQ(output.out, "the answer\n");
  EXPECT_EQ(output.err_total, 6000u);
  EXPECT_TRUE(output.truncated);
  EXPECT_TRUE(output.merged.starts_with("the answer\n"));
  EXPECT_NE(output.merged.find(" bytes left out]\n"), std::string::npos);
}

TEST(Capture, a_marker_after_a_newline_needs_no_other) {
  Capture capture(4);
  capture.add(Stream::out, "a\nbcdef");
  EXPECT_EQ(capture.take().out, "a\n" + gap(3) + "ef");
}

TEST(Capture, with_no_room_it_only_counts) {
  Capture capture(0);
  capture.add(Stream::out, "abc");
  capture.add(Stream::err, "");
  const Output output = capture.take();
  EXPECT_EQ(output.out, gap(3));
  EXPECT_EQ(output.err, "");
  EXPECT_EQ(output.merged, gap(3));
  EXPECT_TRUE(output.truncated);
}

TEST(Capture, with_room_for_one_byte_it_is_the_last) {
  Capture capture(1);
  capture.add(Stream::out, "abc");
  EXPECT_EQ(capture.take().out, gap(2) + "c");
}

TEST(Capture, any_bytes_pass_as_they_are) {
  Capture capture(~std::uint64_t{0});
  const std::string bytes("\0\xff\x1b[2J\xc3", 7);
  capture.add(Stream::err, bytes);
  EXPECT_EQ(capture.take().err, bytes);
}

TEST(Capture, is_empty_after_take) {
  Capture capture(4);
  capture.add(Stream::out, "abcdefgh");
  (void)capture.take();
  EXPECT_EQ(capture.total(), 0u);
  capture.add(Stream::out, "xy");
  const Output output = capture.take();
  EXPECT_EQ(output.out, "xy");
  EXPECT_FALSE(output.truncated);
}

TEST(Capture, memory_stays_within_the_bound_that_is_promised) {
  constexpr std::uint64_t kLimit = 1 << 20;
  Capture capture(kLimit);
  const std::string piece(4097, 'x');
  for (int i = 0; i < 2000; ++i) capture.add(i % 2 ? Stream::out : Stream::err, piece);
  const Output output = capture.take();
  for (const std::string* text : {&output.out, &output.err, &output.merged}) {
    EXPECT_LE(text->size(), kLimit + 64);
    EXPECT_LE(text->capacity(), kLimit + kLimit / 8);
  }
}

// The same pieces into the object and into plain strings, for many limits and ways to cut.
TEST(Capture, agrees_with_a_naive_model) {
  std::mt19937 random(20240607);
  const auto below = [&](unsigned bound) { return std::uniform_int_distribution<unsigned>(0, bound)(random); };
  for (int round = 0; round < 3000; ++round) {
    const std::uint64_t limit = below(round % 3 == 0 ? 8 : 200);
    Capture capture(limit);
    std::string out, err, merged;
    for (unsigned pieces = below(20); pieces > 0; --pieces) {
      std::string bytes;
      for (unsigned length = below(round % 2 ? 9 : 120); length > 0; --length)
        bytes += below(9) == 0 ? '\n' : static_cast<char>('a' + below(25));
      const bool to_err = below(1) == 1;
      capture.add(to_err ? Stream::err : Stream::out, bytes);
      (to_err ? err : out) += bytes;
      merged += bytes;
    }
    ASSERT_EQ(capture.total(), merged.size());
    ASSERT_EQ(capture.over_limit(), merged.size() > limit);
    const Output output = capture.take();
    ASSERT_EQ(output.out, model(out, limit)) << "limit " << limit;
    ASSERT_EQ(output.err, model(err, limit)) << "limit " << limit;
    ASSERT_EQ(output.merged, model(merged, limit)) << "limit " << limit;
    ASSERT_EQ(output.out_total, out.size());
    ASSERT_EQ(output.err_total, err.size());
    ASSERT_EQ(output.truncated, merged.size() > limit);
  }
}

}  // namespace
}  // namespace casemate
