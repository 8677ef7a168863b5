// What goes into containers and comes out of them as archives: nothing that one says leads out of the directory it is put into.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "docker/archive.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Type = TarEntry::Type;

class Archives : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-archives.XXXXXX";
    ASSERT_TRUE(::mkdtemp(name));
    top_ = name;
    fs::create_directory(top_ / "staged");
  }
  void TearDown() override { fs::remove_all(top_); }

  StagedTree staged(const CollectOptions& bounds = {}) const {
    return {UniqueFd(::open((top_ / "staged").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), bounds};
  }
  fs::path in_staged(const std::string& path) const { return top_ / "staged" / path; }
  static std::string entry(const TarEntry& head, const std::string& contents = "") {
    TarEntry sized = head;
    sized.size = contents.size();
    return tar_head(sized) + contents + tar_padding(contents.size());
  }
  static Result<void> put(StagedTree& tree, const std::string& place, const std::string& archive) {
    TarReader reader = tree.reader(place);
    TRY(reader.feed(archive));
    return reader.finish();
  }
  static std::string text(const fs::path& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path).rdbuf();
    return bytes.str();
  }
  fs::path write(const std::string& path, const std::string& contents) const {
    fs::create_directories((top_ / path).parent_path());
    std::ofstream(top_ / path) << contents;
    return top_ / path;
  }

  struct Sent {
    std::vector<TarEntry> entries;
    std::map<std::string, std::string> contents;
    [[nodiscard]] const TarEntry* find(const std::string& path) const {
      for (const TarEntry& one : entries) {
        if (one.path == path) return &one;
      }
      return nullptr;
    }
  };
  static Result<Sent> sent(UploadArchive& archive) {
    Sent all;
    TarReader reader({.begin =
                          [&](const TarEntry& entry) {
                            all.entries.push_back(entry);
                            all.contents[entry.path];
                            return Result<void>();
                          },
                      .bytes =
                          [&](std::string_view piece) {
                            all.contents[all.entries.back().path] += piece;
                            return Result<void>();
                          },
                      .end = [] { return Result<void>(); }});
    for (;;) {
      TRY_ASSIGN(const std::string piece, archive.next());
      if (piece.empty()) break;
      TRY(reader.feed(piece));
    }
    TRY(reader.finish());
    return all;
  }

  fs::path top_;
};

// ---- out of a container

TEST_F(Archives, are_put_below_their_place) {
  StagedTree tree = staged();
  const std::string archive = entry({.type = Type::directory, .path = "out/", .mode = 01700, .modified = {1000, 0}}) +
                              entry({.path = "out/f", .mode = 04755, .modified = {2000, 5}}, "bytes") +
                              entry({.type = Type::symlink, .path = "./out/l", .link_target = "/etc/passwd"}) +
                              entry({.type = Type::hard_link, .path = "out/h", .link_target = "out/f"}) +
                              entry({.type = Type::fifo, .path = "out/p", .mode = 0640}) + entry({.path = "out/f2"}, "") + tar_end();
  ASSERT_TRUE(put(tree, "work/out", archive));
  tree.finish();
  EXPECT_EQ(tree.problem(), "");
  EXPECT_EQ(tree.entries(), 6u);
  EXPECT_EQ(text(in_staged("work/out/f")), "bytes");
  struct stat info{};
  ASSERT_EQ(::lstat(in_staged("work/out/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u) << "no set-id bits of theirs";
  EXPECT_EQ(std::pair(info.st_mtim.tv_sec, info.st_mtim.tv_nsec), std::pair(2000L, 5L));
  EXPECT_EQ(info.st_nlink, 2u);
  EXPECT_EQ(fs::read_symlink(in_staged("work/out/l")), "/etc/passwd");
  EXPECT_TRUE(fs::is_fifo(in_staged("work/out/p")));
  ASSERT_EQ(::lstat(in_staged("work/out").c_str(), &info), 0);
  EXPECT_EQ(std::pair(info.st_mode & 07777, info.st_mtim.tv_sec), std::pair(01700u, 1000L));
  // Again, as when it is asked for in smaller parts: what is newer is there.
  ASSERT_TRUE(put(tree, "work/out/f", entry({.path = "f", .mode = 0600}, "newer") + tar_end()));
  EXPECT_EQ(text(in_staged("work/out/f")), "newer");
  EXPECT_EQ(text(in_staged("work/out/h")), "bytes") << "a new file, not the old one's bytes";
}

TEST_F(Archives, with_names_that_lead_out_are_refused) {
  for (const char* name : {"../f", "top/../../f", "top/..", ".."}) {
    StagedTree tree = staged();
    const auto result = put(tree, "", entry({.path = name}, "x"));
    ASSERT_FALSE(result) << name;
    EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  }
  StagedTree tree = staged();
  EXPECT_FALSE(put(tree, "", entry({.path = "top/" + std::string(256, 'n')}, "x")));
  ASSERT_TRUE(put(tree, "", entry({.path = "/top//./f"}, "x") + tar_end()));
  EXPECT_EQ(text(in_staged("f")), "x") << "an absolute one is below like others";
  EXPECT_EQ(std::distance(fs::directory_iterator(top_), fs::directory_iterator()), 1);
}

TEST_F(Archives, that_go_through_their_own_symlinks_reach_nothing) {
  const fs::path outside = write("outside/f", "ours");
  StagedTree tree = staged();
  const std::string archive = entry({.type = Type::symlink, .path = "top/l", .link_target = outside.parent_path()}) +
                              entry({.path = "top/l/f"}, "theirs") + entry({.path = "top/l/g"}, "theirs") +
                              entry({.type = Type::symlink, .path = "top/f", .link_target = outside}) + entry({.path = "top/f"}, "theirs") +
                              entry({.type = Type::hard_link, .path = "top/h", .link_target = "top/l/f"}) + tar_end();
  ASSERT_TRUE(put(tree, "", archive));
  EXPECT_TRUE(tree.problem().starts_with("can't keep l/f: ")) << tree.problem();
  EXPECT_EQ(text(outside), "ours");
  EXPECT_FALSE(fs::exists(outside.parent_path() / "g"));
  EXPECT_FALSE(fs::is_symlink(in_staged("f")));
  EXPECT_EQ(text(in_staged("f")), "theirs") << "in the link's place";
  EXPECT_FALSE(fs::exists(in_staged("h")));
  tree.put_socket("l/s");
  tree.put_oversized("l/o", {});
  tree.put_whiteout("l/w");
  tree.put_outline("l/x", {});
  tree.put_directory("l/d");
  EXPECT_EQ(std::distance(fs::directory_iterator(outside.parent_path()), fs::directory_iterator()), 1);
  EXPECT_FALSE(tree.has("l/f"));
}

TEST_F(Archives, change_no_mode_behind_a_symlink) {
  const fs::path outside = write("outside/f", "ours");
  ASSERT_EQ(::chmod(outside.c_str(), 0600), 0);
  StagedTree tree = staged();
  ASSERT_TRUE(put(tree, "",
                  entry({.type = Type::symlink, .path = "top/x", .link_target = outside}) +
                      entry({.type = Type::fifo, .path = "top/x", .mode = 0777}) + tar_end()));
  tree.finish();
  struct stat info{};
  ASSERT_EQ(::stat(outside.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_TRUE(fs::is_fifo(in_staged("x")));
}

TEST_F(Archives, keep_hard_links_to_what_is_there_alone) {
  for (const char* target : {"top/nothing", "../f", "", "top"}) {
    StagedTree tree = staged();
    ASSERT_TRUE(put(tree, "", entry({.type = Type::hard_link, .path = "top/h", .link_target = target}) + tar_end()));
    EXPECT_TRUE(tree.problem().starts_with("can't keep h: ")) << target << ": " << tree.problem();
    EXPECT_FALSE(fs::exists(in_staged("h")));
  }
}

TEST_F(Archives, stand_in_for_devices_which_nobody_may_open) {
  StagedTree tree = staged();
  ASSERT_TRUE(put(tree, "", entry({.type = Type::block, .path = "top/b"}) + entry({.type = Type::character, .path = "top/c"}) + tar_end()));
  for (const char* name : {"b", "c"}) {
    struct stat info{};
    ASSERT_EQ(::lstat(in_staged(name).c_str(), &info), 0) << name;
    // /dev/null, whatever the archive says, or where only root may make that, a socket.
    EXPECT_TRUE(S_ISSOCK(info.st_mode) || (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3))) << name;
  }
}

TEST_F(Archives, over_the_bounds_name_the_file) {
  CollectOptions bounds;
  bounds.max_file_bytes = 10;
  bounds.max_total_bytes = 15;
  bounds.max_entries = 4;
  StagedTree tree = staged(bounds);
  auto result = put(tree, "top", entry({.path = "top/a"}, std::string(11, 'a')));
  ASSERT_FALSE(result);
  EXPECT_EQ(std::pair(result.error().code, tree.oversized()), std::pair(ErrorCode::exhausted, std::string("top/a")));
  EXPECT_EQ(fs::file_size(in_staged("top/a")), 11u) << "its size can be told, its bytes take no room";
  struct stat info{};
  ASSERT_EQ(::stat(in_staged("top/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
  ASSERT_TRUE(put(tree, "top", entry({.path = "top/b"}, std::string(10, 'b')) + tar_end()));
  EXPECT_EQ(tree.oversized(), "") << "of the last reader only";
  result = put(tree, "top", entry({.path = "top/c"}, std::string(6, 'c')));
  ASSERT_FALSE(result) << "in all they are too many";
  EXPECT_EQ(tree.oversized(), "top/c");
  std::string many;
  for (const char* name : {"d", "e", "f", "g"}) many += entry({.path = std::string("top/") + name});
  EXPECT_FALSE(tree.full());
  ASSERT_FALSE(put(tree, "top", many)) << "who sends entries without end is not listened to";
  EXPECT_TRUE(tree.has("top/e")) << "one more than the bound, so that it is seen to be passed";
  EXPECT_FALSE(tree.has("top/f"));
  EXPECT_TRUE(tree.full());
  EXPECT_EQ(tree.oversized(), "");
}

TEST_F(Archives, that_find_no_room_are_an_error_and_not_half_a_file) {
  StagedTree tree = staged();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tight{4096, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto result = put(tree, "", entry({.path = "top/f"}, std::string(8192, 'x')) + tar_end());
  TarEntry huge{.path = "h", .size = 1 << 20};
  tree.put_oversized("h", huge);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::exhausted);
  EXPECT_TRUE(result.error().what.starts_with("can't keep f: ")) << result.error().what;
  EXPECT_TRUE(tree.problem().starts_with("can't keep h: ")) << tree.problem();
}

TEST_F(Archives, outlines_stand_for_what_was_there) {
  StagedTree tree = staged();
  tree.put_outline("a/d", {.type = Type::directory, .mode = 01755});
  tree.put_outline("a/l", {.type = Type::symlink, .link_target = "t"});
  tree.put_outline("a/m", {.type = Type::symlink});
  tree.put_outline("a/p", {.type = Type::fifo, .mode = 0600});
  tree.put_outline("a/f", {.type = Type::file, .mode = 06711});
  tree.put_socket("a/s");
  EXPECT_EQ(fs::status(in_staged("a/d")).permissions(), fs::perms(01755));
  EXPECT_EQ(fs::read_symlink(in_staged("a/l")), "t");
  EXPECT_EQ(fs::read_symlink(in_staged("a/m")), "?");
  EXPECT_TRUE(fs::is_fifo(in_staged("a/p")));
  EXPECT_EQ(fs::status(in_staged("a/f")).permissions(), fs::perms(0711));
  EXPECT_TRUE(fs::is_socket(in_staged("a/s")));
  EXPECT_TRUE(tree.has("a/s"));
  EXPECT_FALSE(tree.has("a/none"));
  EXPECT_FALSE(tree.has("b/none"));
}

TEST_F(Archives, lack_what_was_removed) {
  write("upper/new", "");
  write("lower/kept", "");
  write("lower/gone", "");
  write("lower/d/kept", "");
  write("lower/d/gone", "");
  ASSERT_EQ(::mkfifo((top_ / "lower/pipe").c_str(), 0600), 0);
  StagedTree tree = staged();
  const std::string archive = entry({.type = Type::directory, .path = "w", .mode = 0755}) + entry({.path = "w/kept"}) +
                              entry({.path = "w/d/kept"}) + entry({.path = "w/new"}) + tar_end();
  ASSERT_TRUE(put(tree, "w", archive));
  add_missing(tree, {top_ / "upper", top_ / "lower"}, "w");
  for (const char* name : {"gone", "d/gone"}) {
    struct stat info{};
    ASSERT_EQ(::lstat(in_staged(std::string("w/") + name).c_str(), &info), 0) << name;
    EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) << name;
  }
  for (const char* name : {"kept", "d/kept", "new"}) EXPECT_TRUE(fs::is_regular_file(in_staged(std::string("w/") + name))) << name;
  EXPECT_FALSE(tree.has("w/pipe")) << "what never got there was not removed";
}

// ---- into a container

TEST_F(Archives, of_directories_are_merged_as_an_overlay_does) {
  write("upper/both", "upper");
  write("upper/d/one", "1");
  write("lower/both", "lower");
  write("lower/d/two", std::string(600'000, 'x'));
  fs::create_symlink("/etc/passwd", top_ / "lower/l");
  ASSERT_EQ(::mkfifo((top_ / "lower/pipe").c_str(), 0600), 0);
  fs::permissions(top_ / "upper/d/one", fs::perms(0711));
  auto archive = UploadArchive::open({.lower = {top_ / "upper", top_ / "lower"}, .target = "/data/in"});
  ASSERT_TRUE(archive) << archive.error().what;
  const auto all = sent(**archive);
  ASSERT_TRUE(all) << all.error().what;
  EXPECT_EQ(all->entries.size(), 6u);
  EXPECT_EQ(all->entries[0].path, "data/in");
  EXPECT_EQ(std::pair(all->entries[0].type, all->entries[0].mode), std::pair(Type::directory, 0755u));
  EXPECT_EQ(all->contents.at("data/in/both"), "upper");
  EXPECT_EQ(all->contents.at("data/in/d/two"), std::string(600'000, 'x'));
  ASSERT_TRUE(all->find("data/in/d/one") && all->find("data/in/l"));
  EXPECT_EQ(all->find("data/in/d/one")->mode, 0711u);
  EXPECT_EQ(all->find("data/in/l")->link_target, "/etc/passwd") << "not what it leads to";
  EXPECT_FALSE(all->find("data/in/pipe"));
}

TEST_F(Archives, of_nothing_are_a_directory) {
  auto archive = UploadArchive::open({.lower = {}, .target = "/work", .open_to_all = true});
  ASSERT_TRUE(archive);
  const auto all = sent(**archive);
  ASSERT_TRUE(all && all->entries.size() == 1);
  EXPECT_EQ(std::pair(all->entries[0].path, all->entries[0].mode), std::pair(std::string("work"), 0777u));
}

TEST_F(Archives, of_one_file_have_the_length_that_they_say) {
  const fs::path file = write("file", std::string(700'000, 'f'));
  for (const std::uintmax_t later : {700'000u, 10u, 900'000u}) {
    fs::resize_file(file, 700'000);
    auto archive = UploadArchive::open({.lower = {file}, .target = "/etc/conf", .owned = true});
    ASSERT_TRUE(archive);
    fs::resize_file(file, later);  // while it is sent
    const auto all = sent(**archive);
    ASSERT_TRUE(all) << later << ": " << all.error().what;
    ASSERT_EQ(all->entries.size(), 1u);
    EXPECT_EQ(std::pair(all->entries[0].path, all->entries[0].size), std::pair(std::string("etc/conf"), std::uint64_t{700'000}));
    EXPECT_EQ(all->contents.at("etc/conf").size(), 700'000u) << later;
  }
}

TEST_F(Archives, of_what_is_not_there_say_so) {
  const auto one = UploadArchive::open({.lower = {top_ / "none"}, .target = "/x"});
  ASSERT_FALSE(one);
  EXPECT_NE(one.error().what.find("none"), std::string::npos) << one.error().what;
  const auto several = UploadArchive::open({.lower = {top_ / "none", top_}, .target = "/x"});
  ASSERT_FALSE(several);
  EXPECT_NE(several.error().what.find("none"), std::string::npos) << several.error().what;
  fs::create_directory(top_ / "goes");
  auto archive = UploadArchive::open({.lower = {top_ / "goes"}, .target = "/x"});
  ASSERT_TRUE(archive);
  fs::remove(top_ / "goes");
  EXPECT_FALSE((*archive)->next());
}

}  // namespace
}  // namespace casemate
