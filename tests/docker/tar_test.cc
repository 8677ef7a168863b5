// Archives that a daemon sends, whole, in pieces and damaged; and that what we send is read as it was meant.
#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "docker/tar.h"

namespace casemate {
namespace {

using Type = TarEntry::Type;

struct Read {
  std::vector<TarEntry> entries;
  std::vector<std::string> contents;  // of each
  Result<void> result;
};

Read read(std::string_view bytes, std::size_t piece = 1 << 20) {
  Read got;
  std::size_t ended = 0;
  TarReader reader({.begin =
                        [&](const TarEntry& entry) {
                          EXPECT_EQ(ended, got.entries.size());
                          got.entries.push_back(entry);
                          got.contents.emplace_back();
                          return Result<void>();
                        },
                    .bytes =
                        [&](std::string_view some) {
                          got.contents.back() += some;
                          return Result<void>();
                        },
                    .end =
                        [&] {
                          ++ended;
                          return Result<void>();
                        }});
  for (; !bytes.empty() && got.result; bytes.remove_prefix(std::min(piece, bytes.size()))) got.result = reader.feed(bytes.substr(0, piece));
  if (got.result) got.result = reader.finish();
  return got;
}

std::string entry(const TarEntry& head, const std::string& contents = "") {
  return tar_head(head) + contents + tar_padding(contents.size());
}

// A head of our own with bytes of the test's in it, and the sum that fits.
std::string changed_head(TarEntry head, std::size_t at, std::string_view bytes) {
  std::string block = tar_head(head);
  block.replace(at, bytes.size(), bytes);
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  block.replace(148, 8, fmt::format("{:06o}", sum) + '\0' + ' ');
  return block;
}

// An extension ('x' of pax, 'L' and 'K' of GNU's tar, 'g' for all entries).
std::string extension(char kind, const std::string& contents) {
  TarEntry head{.path = "PaxHeaders/x", .size = contents.size()};
  return changed_head(head, 156, std::string_view(&kind, 1)) + contents + tar_padding(contents.size());
}

std::string why_not(const std::string& bytes) {
  const Read got = read(bytes);
  if (got.result) return "it was read";
  EXPECT_EQ(got.result.error().code, ErrorCode::corrupt);
  return got.result.error().what.substr(got.result.error().what.rfind(": ") + 2);
}

TEST(Tar, what_is_written_is_read_however_it_arrives) {
  const std::string long_name(300, 'n');
  const std::string contents(1500, 'c');
  std::string archive = entry({.type = Type::directory, .path = "d/", .mode = 01755});
  archive += entry({.path = "d/f", .size = contents.size(), .mode = 0640, .modified = {1'700'000'000, 250'000'000}}, contents);
  archive += entry({.path = "whole", .size = 512, .mode = 04711, .modified = {7, 0}}, std::string(512, 'w'));
  archive += entry({.path = long_name, .size = 0, .mode = 0600, .uid = 1u << 31, .gid = 1u << 30});
  archive += entry({.type = Type::symlink, .path = "l", .link_target = long_name});
  archive += entry({.type = Type::hard_link, .path = "h", .link_target = "d/f"});
  for (const Type type : {Type::character, Type::block, Type::fifo}) archive += entry({.type = type, .path = "special"});
  archive += tar_end();
  for (const std::size_t piece : {1ul, 511ul, 512ul, 1000ul, archive.size()}) {
    const Read got = read(archive + "what follows the end is nobody's", piece);
    ASSERT_TRUE(got.result) << got.result.error().what;
    ASSERT_EQ(got.entries.size(), 9u);
    EXPECT_EQ(std::tuple(got.entries[0].type, got.entries[0].path, got.entries[0].mode), std::tuple(Type::directory, "d/", 01755u));
    EXPECT_EQ(std::tuple(got.entries[1].type, got.entries[1].path, got.entries[1].mode), std::tuple(Type::file, "d/f", 0640u));
    EXPECT_EQ(std::tuple(got.entries[1].modified.tv_sec, got.entries[1].modified.tv_nsec), std::tuple(1'700'000'000, 250'000'000));
    EXPECT_EQ(got.contents[1], contents);
    EXPECT_EQ(std::tuple(got.contents[2], got.entries[2].modified.tv_sec), std::tuple(std::string(512, 'w'), 7));
    EXPECT_EQ(std::tuple(got.entries[3].path, got.contents[3]), std::tuple(long_name, ""));
    EXPECT_EQ(std::tuple(got.entries[4].type, got.entries[4].link_target), std::tuple(Type::symlink, long_name));
    EXPECT_EQ(std::tuple(got.entries[5].type, got.entries[5].path, got.entries[5].link_target), std::tuple(Type::hard_link, "h", "d/f"));
    EXPECT_EQ(got.entries[6].type, Type::character);
    EXPECT_EQ(got.entries[7].type, Type::block);
    EXPECT_EQ(got.entries[8].type, Type::fifo);
  }
}

TEST(Tar, of_other_writers_is_read) {
  const std::string plain = entry({.path = "f", .size = 1}, "x");
  // ustar's prefix, GNU's long names, its numbers in base 256, a size of pax for a head without one.
  Read got = read(changed_head({.path = "name"}, 345, "up/here"));
  ASSERT_EQ(got.entries.size(), 1u);
  EXPECT_EQ(got.entries[0].path, "up/here/name");
  got = read(extension('L', std::string("long name\0", 10)) + extension('K', "target") + entry({.type = Type::symlink, .path = "short"}) +
             plain);
  ASSERT_EQ(got.entries.size(), 2u);
  EXPECT_EQ(std::tuple(got.entries[0].path, got.entries[0].link_target), std::tuple("long name", "target"));
  EXPECT_EQ(got.entries[1].path, "f") << "a long name is one entry's";
  got = read(changed_head({.path = "f"}, 124, std::string("\x80\0\0\0\0\0\0\0\0\0\0\x3", 12)) + "abc" + tar_padding(3));
  ASSERT_TRUE(got.result);
  EXPECT_EQ(got.contents[0], "abc");
  got = read(changed_head({.path = "f"}, 136, std::string(12, '\xff')));
  ASSERT_TRUE(got.result);
  EXPECT_EQ(got.entries[0].modified.tv_sec, 0) << "before 1970";
  got = read(extension('g', "19 comment=for all\n") + extension('x', "10 size=2\n19 mtime=12.0625x\n") + entry({.path = "f"}) + "ab" +
             tar_padding(2));
  EXPECT_FALSE(got.result) << "the length of a record is wrong";
  got = read(extension('g', "19 comment=for all\n") + extension('x', "10 size=2\n17 mtime=12.0625\n") + entry({.path = "f"}) + "ab" +
             tar_padding(2));
  ASSERT_TRUE(got.result) << got.result.error().what;
  EXPECT_EQ(got.contents[0], "ab");
  EXPECT_EQ(std::tuple(got.entries[0].modified.tv_sec, got.entries[0].modified.tv_nsec), std::tuple(12, 62'500'000));
  for (const auto& [record, seconds] : {std::pair("12 mtime=-3\n", -3), std::pair("12 mtime=ab\n", 0)}) {
    got = read(extension('x', record) + entry({.path = "f"}));
    ASSERT_TRUE(got.result) << record;
    EXPECT_EQ(std::tuple(got.entries[0].modified.tv_sec, got.entries[0].modified.tv_nsec), std::tuple(seconds, 0)) << record;
  }
  got = read(changed_head({.path = "?"}, 156, "S") + plain);
  ASSERT_EQ(got.entries.size(), 2u);
  EXPECT_EQ(got.entries[0].type, Type::other);
}

TEST(Tar, that_is_none_is_an_error_that_says_why) {
  EXPECT_EQ(why_not(std::string(512, 'x')), "the sum of a head is wrong");
  std::string flipped = entry({.path = "f"});
  flipped[0] = 'g';
  EXPECT_EQ(why_not(flipped), "the sum of a head is wrong");
  EXPECT_EQ(why_not(changed_head({.path = "f"}, 124, "12z45678901")), "a head has a number that is none");
  EXPECT_EQ(why_not(changed_head({.path = "f"}, 100, "9999999")), "a head has a number that is none");
  EXPECT_EQ(why_not(changed_head({.path = "f"}, 124, "\xbf" + std::string(11, '\x7f'))), "a head has a number that is none");
  EXPECT_EQ(why_not(changed_head({.path = "f"}, 124, std::string("\x80\0\0\0\x40\0\0\0\0\0\0\0", 12))), "a head has a number that is none");
  EXPECT_EQ(why_not(changed_head({.path = "x", .size = (1u << 20) + 1}, 156, "x")), "a head is too long");
  EXPECT_EQ(why_not(changed_head({.path = "x"}, 156, "L")), "a head is too long");
  for (const char* record : {"x", "12 path", "99 path=a\n", "9 path=abc", "4 a\n", "8path=a\n", "9 pathab\n"})
    EXPECT_EQ(why_not(extension('x', record)), "a pax record is none") << record;
  EXPECT_EQ(why_not(extension('x', std::string("11 path=a\0b\n", 11))), "a pax record is none");
  EXPECT_EQ(why_not(extension('x', std::string("12 path=a\0b\n", 12))), "a name has a NUL byte");
  EXPECT_EQ(why_not(extension('x', "11 size=ab\n")), "a size is none");
  EXPECT_EQ(why_not(extension('x', "29 size=18446744073709551615\n")), "a size is none");
  EXPECT_EQ(why_not(extension('x', "22 GNU.sparse.major=1\n")), "it has sparse files in a way that is not known");
}

TEST(Tar, that_breaks_off_is_an_error_wherever_it_does) {
  const std::string archive = extension('x', "10 path=p\n") + entry({.path = "f", .size = 700}, std::string(700, 'x')) + tar_end();
  for (std::size_t length = 1; length < archive.size() - 2 * 512; length += 7) {
    if (length % 512 != 0) EXPECT_FALSE(read(archive.substr(0, length)).result) << length;
  }
  EXPECT_TRUE(read("").result);
  EXPECT_TRUE(read(archive.substr(0, archive.size() - 1024)).result) << "without an end, as some write them";
}

TEST(Tar, a_listener_that_fails_ends_it) {
  const std::string archive = entry({.path = "f", .size = 3}, "abc") + tar_end();
  const auto good = [] { return Result<void>(); };
  const auto bad = [] { return Result<void>(fail(ErrorCode::refused, "no room")); };
  for (int which = 0; which < 3; ++which) {
    TarReader reader({.begin = [&](const TarEntry&) { return which == 0 ? bad() : good(); },
                      .bytes = [&](std::string_view) { return which == 1 ? bad() : good(); },
                      .end = [&] { return which == 2 ? bad() : good(); }});
    const auto fed = reader.feed(archive);
    ASSERT_FALSE(fed) << which;
    EXPECT_EQ(fed.error().what, "no room");
  }
}

}  // namespace
}  // namespace casemate
