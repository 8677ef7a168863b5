#include "base/units.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

TEST(Units, reads_sizes_as_docker_does) {
  EXPECT_EQ(parse_bytes("64M").value(), 64u << 20);
  EXPECT_EQ(parse_bytes("1.5g").value(), 3ull << 29);
  EXPECT_EQ(parse_bytes("64MiB").value(), 64u << 20);
  EXPECT_EQ(parse_bytes("2kb").value(), 2048u);
  EXPECT_EQ(parse_bytes("100").value(), 100u);
  EXPECT_EQ(parse_bytes("7b").value(), 7u);
}

TEST(Units, refuses_what_is_no_size) {
  for (const char* text : {"", "-1", "M", "1x", "1MM", "1 M", "nan", "inf", "1e9", "99999999999999999999", "1..2", "1ib"}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

TEST(Units, reads_durations) {
  EXPECT_EQ(parse_duration("2s")->count(), 2000);
  EXPECT_EQ(parse_duration("500ms")->count(), 500);
  EXPECT_EQ(parse_duration("1m30s")->count(), 90'000);
  EXPECT_EQ(parse_duration("1.5")->count(), 1500);
}

TEST(Units, refuses_what_is_no_duration) {
  for (const char* text : {"", "-1", "s", "1m30", "1y", "99999999999h", "1s ", "0x10"}) EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Units, prints_for_people) {
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_duration(std::chrono::microseconds(800)), "0.8 ms");
  EXPECT_EQ(format_duration(std::chrono::seconds(125)), "2 min 5 s");
  const std::string moment = format_moment(1'795'258'320);  // in the zone of whoever asks
  EXPECT_TRUE(moment.starts_with("2026-11-2")) << moment;
  EXPECT_TRUE(moment.ends_with(":00")) << moment;
  EXPECT_EQ(moment.size(), 19u);
  EXPECT_EQ(format_moment(INT64_MAX), "?");
}

}  // namespace
}  // namespace casemate
