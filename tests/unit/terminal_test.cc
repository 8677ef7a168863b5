#include "base/terminal.h"

#include <cstdint>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using namespace std::string_literals;

TEST(Terminal, plain_text_passes) {
  EXPECT_EQ(printable("one\ttwo\nGrüße, 世界 🙂\n"), "one\ttwo\nGrüße, 世界 🙂\n");
  EXPECT_EQ(printable(""), "");
}

TEST(Terminal, escape_sequences_are_shown_not_obeyed) {
  EXPECT_EQ(printable("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(printable("\x1b]0;title\x07"), "\\x1b]0;title\\x07");
  EXPECT_EQ(printable("\x1b]52;c;cm0gLXJmIC8=\x1b\\"), "\\x1b]52;c;cm0gLXJmIC8=\\x1b\\");
}

TEST(Terminal, every_control_character_but_newline_and_tab_is_shown) {
  for (int c = 0; c < 0x20; ++c) {
    const std::string text = printable(std::string(1, static_cast<char>(c)));
    if (c == '\n' || c == '\t') {
      EXPECT_EQ(text.size(), 1u) << c;
    } else {
      EXPECT_EQ(text.size(), 4u) << c;
      EXPECT_TRUE(text.starts_with("\\x")) << c;
    }
  }
  EXPECT_EQ(printable("100%\rfake"), "100%\\x0dfake");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
}

TEST(Terminal, c1_controls_are_shown_in_both_encodings) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");  // U+009B, CSI, in UTF-8
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b"
            "31m");                              // the same as a raw byte
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");  // the first after C1 is text
}

TEST(Terminal, bidirectional_overrides_are_shown) {
  EXPECT_EQ(printable("a\u202e"
                      "b\u2066"
                      "c\u2069"),
            "a\\u{202e}b\\u{2066}c\\u{2069}");
  EXPECT_EQ(printable("שלום"), "שלום");  // right-to-left letters are text
}

TEST(Terminal, a_name_stays_on_one_line) {
  EXPECT_EQ(printable_name("a\nb\tc"), "a\\nb\\tc");
  EXPECT_EQ(printable_name("-rf"), "-rf");
  EXPECT_EQ(printable_name("\xff"), "\\xff");
}

TEST(Terminal, invalid_utf8_is_shown_byte_by_byte) {
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                    // overlong '/'
  EXPECT_EQ(printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(printable("\x80"), "\\x80");                             // a continuation alone
}

TEST(Terminal, a_sequence_cut_short_does_not_swallow_what_follows) {
  EXPECT_EQ(printable("\xe4\xb8"), "\\xe4\\xb8");
  EXPECT_EQ(printable("\xe4\x1b[0m"), "\\xe4\\x1b[0m");
  EXPECT_EQ(printable("\xf0\x9f\x99\nx"), "\\xf0\\x9f\\x99\nx");
}

TEST(Terminal, shortens_long_words_of_a_line_in_the_middle) {
  const std::string most(200, 'a');
  EXPECT_EQ(printable_line("say " + most + " and  so\n on "), "say " + most + " and  so\\n on ");
  EXPECT_EQ(printable_line(""), "");
  const std::string path = "/begin/" + std::string(5000, 'x') + "/end";
  const std::string line = printable_line("can't open " + path + ": no such file; " + path);
  EXPECT_TRUE(line.starts_with("can't open /begin/xxx")) << line;
  EXPECT_NE(line.find("x...x"), std::string::npos);
  EXPECT_NE(line.find("x/end: no such file; /begin/"), std::string::npos) << line;
  EXPECT_TRUE(line.ends_with("x/end"));
  EXPECT_LE(line.size(), 2 * 200 + 30u);
  for (std::size_t shift = 0; shift < 4; ++shift) {
    std::string word(shift, 'a');
    while (word.size() < 1000) word += "\U0001F512";  // cut between characters only
    const std::string cut = printable_line(word);
    EXPECT_EQ(to_utf8(cut), cut);
    EXPECT_LE(cut.size(), 200u);
  }
}

TEST(Terminal, makes_valid_utf8_for_json) {
  EXPECT_EQ(to_utf8("a\xff"
                    "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(to_utf8("\xe4\xb8"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(to_utf8("世界\x1b\n"), "世界\x1b\n");  // JSON escapes controls itself
}

TEST(Terminal, whatever_comes_in_nothing_that_drives_a_terminal_comes_out) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 64; ++i) bytes += static_cast<char>(random() % (round % 2 ? 256 : 0xa0));
    for (const std::string& text : {printable(bytes), printable_name(bytes), printable_line(bytes)}) {
      for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<std::uint8_t>(text[i]);
        ASSERT_FALSE((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) << round;
        if (byte == 0xc2) {
          ASSERT_GE(static_cast<std::uint8_t>(text[i + 1]), 0xa0) << round;
        }
      }
      ASSERT_EQ(to_utf8(text), text) << "not valid UTF-8";
    }
  }
}

}  // namespace
}  // namespace casemate
