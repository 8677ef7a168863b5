#include "testplan/normalisation.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

std::string normal(std::string_view text) { return Normaliser::create()->apply(text); }

TEST(Normalisation, times) {
  for (const char* text : {"2026-11-22T09:31:04Z", "2026-11-22T09:31:04.123456+01:00", "2026-11-22 09:31:04,123", "2026-11-22 09:31:04 UTC",
                           "2026/11/22 09:31", "Sun Nov 22 09:31:04 UTC 2026", "Sun, 22 Nov 2026 09:31:04 GMT", "Nov 22 09:31:04",
                           "22/Nov/2026:09:31:04 +0000", "09:31:04", "20261122T093104Z", "11/22/2026, 9:31:04 AM"})
    EXPECT_EQ(normal("at " + std::string(text) + " it"), "at <timestamp> it") << text;
  for (const char* text : {"2026-11-22", "22 Nov 2026", "November 22, 2026", "22.11.2026", "Sun Nov 22 2026"})
    EXPECT_EQ(normal("on " + std::string(text) + ";"), "on <date>;") << text;
  for (const char* text : {"0.12s", "15 ms", "3 seconds", "0m0.003s", "12µs", "1,5 s", "2 min", "1 hour"})
    EXPECT_EQ(normal("took " + std::string(text) + "."), "took <duration>.") << text;
}

TEST(Normalisation, names_of_one_run) {
  EXPECT_EQ(normal("id 123e4567-e89b-12d3-a456-426614174000!"), "id <uuid>!");
  EXPECT_EQ(normal("open '/tmp/tmpab12/out.json': /var/tmp/x, /private/tmp/y"), "open '<temp_path>/out.json': <temp_path>, <temp_path>");
  EXPECT_EQ(normal("/home/someone/x /root/.config /rooted /srv/home/a"), "<home>/x <home>/.config /rooted /srv/home/a");
  EXPECT_EQ(normal("<object at 0x7f3a9c001230> 0xff"), "<object at <hex_address>> 0xff");
  EXPECT_EQ(normal("pid 123, PID: 7, process id=9; rapid 5"), "pid <pid>, PID: <pid>, process id=<pid>; rapid 5");
  EXPECT_EQ(normal("http://localhost:43211/ 127.0.0.1:80 port 5432 report 5"),
            "http://localhost:<port>/ 127.0.0.1:<port> port <port> report 5");
}

TEST(Normalisation, colours_and_line_ends_go) {
  EXPECT_EQ(normal("\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07next\x1b(B\r\n"), "red\nnext\n");
  EXPECT_EQ(normal("50%\r100%\r\n"), "50%\r100%\n");
  EXPECT_EQ(normal("a\xff"
                   "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(normal(std::string_view("a\0b", 3)), std::string_view("a\0b", 3));
  EXPECT_EQ(normal(""), "");
}

TEST(Normalisation, leaves_what_is_the_same_in_every_run) {
  for (const char* text : {"jq-1.6", "3 files, 12 lines", "usage: x [-h] [--port PORT]", "1.2.3", "items[3]: 5",
                           "{\"a\": 1.5, \"b\": [10, 20]}", "sha256:0123456789abcdef", "10m", "5 s3"})
    EXPECT_EQ(normal(text), text);
}

TEST(Normalisation, rules_of_ones_own_and_fewer_of_ours) {
  const auto own = Normaliser::create({{"build", "^build (\\d+)$", "build <\\1>"}, {"x", "x+", "X"}}, {"duration"});
  ASSERT_TRUE(own);
  EXPECT_EQ(own->apply("build 12\nbuild 13 a\nxxx took 5s\n"), "build <12>\nbuild 13 a\nX took 5s\n");
  EXPECT_EQ(Normaliser::create({}, {"durration"}).error().what, "there is no rule of normalisation 'durration', did you mean 'duration'?");
  EXPECT_EQ(Normaliser::create({{"bad", "(", ""}}).error().code, ErrorCode::invalid_input);
  EXPECT_TRUE(Normaliser::create({{"bad", "(", ""}}).error().what.starts_with("rule of normalisation 'bad': '(' is no pattern: "));
  EXPECT_EQ(Normaliser::create({{"bad", "a", "\\1"}}).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(Normaliser::create(std::vector<NormalisationRule>(201, {"a", "a", ""})).error().code, ErrorCode::invalid_input);
}

// No match goes over the end of a line, so pieces of a long text don't show.
TEST(Normalisation, long_texts_are_as_short_ones) {
  std::string text, wanted;
  for (int line = 0; line < 20'000; ++line) {
    text += "2026-11-22T09:31:04Z /tmp/a took 1.5s\n";
    wanted += "<timestamp> <temp_path> took <duration>\n";
  }
  EXPECT_EQ(normal(text), wanted);
  const auto spanning = Normaliser::create({{"two lines", "a\\sb", "X"}});
  EXPECT_EQ(spanning->apply("a b a\nb"), "X a\nb");
  EXPECT_EQ(normal(std::string(200'000, 'x')), std::string(200'000, 'x'));
  std::string list, normal_list;  // one line
  for (int at = 0; at < 5'000; ++at) {
    list += "\"2026-11-22T09:31:04Z\", ";
    normal_list += "\"<timestamp>\", ";
  }
  EXPECT_EQ(normal(list), normal_list);
  std::string wide;
  for (int at = 0; at < 100'000; ++at) wide += "é";
  EXPECT_EQ(normal("a" + wide), "a" + wide);  // no character is cut
}

// A pattern that looks to the end of the text from each of its matches is quadratic in a piece alone.
TEST(Normalisation, hostile_patterns_end) {
  const auto far = Normaliser::create({{"far", "a[^b]*b|a", "A"}});
  EXPECT_EQ(far->apply(std::string(50'000, 'a')), std::string(50'000, 'A'));
}

}  // namespace
}  // namespace casemate
