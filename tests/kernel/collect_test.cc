#include "engine/collect.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/digest.h"
#include "collect_scratch.h"

namespace casemate {
namespace {

class Collect : public CollectScratch {};

// ---- what is copied, and how

TEST_F(Collect, copies_new_files_with_digest_mode_and_time) {
  fs::create_directories(upper_ / "sub/deep");
  write(upper_ / "a.csv", "x,y\n");
  write(upper_ / "sub/deep/run", "#!/bin/sh\n");
  ASSERT_EQ(::chmod((upper_ / "sub/deep/run").c_str(), 06750), 0);
  const timespec times[2] = {{1'000'000'000, 0}, {1'234'567'890, 123'000'000}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper_ / "a.csv").c_str(), times, 0), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper_ / "sub/deep").c_str(), times, 0), 0);
  const CollectedFiles result = collected();
  EXPECT_EQ(lines(result),
            (Lines{"created file a.csv", "created directory sub", "created directory sub/deep", "created file sub/deep/run"}));
  EXPECT_EQ(result.problem, "");
  EXPECT_FALSE(result.truncated);
  EXPECT_EQ(find(result, "a.csv").digest, "sha256:" + sha256_hex("x,y\n"));
  EXPECT_EQ(find(result, "a.csv").size, 4u);
  EXPECT_EQ(find(result, "sub/deep/run").mode, 0750u);
  EXPECT_EQ(read(out_ / "a.csv"), "x,y\n");
  struct stat info{};
  ASSERT_EQ(::stat((out_ / "sub/deep/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07700, 0700u) << "executable, and no set-id bits";
  EXPECT_EQ(info.st_uid, ::geteuid());
  for (const char* path : {"a.csv", "sub/deep"}) {
    ASSERT_EQ(::stat((out_ / path).c_str(), &info), 0);
    EXPECT_EQ(info.st_mtim.tv_sec, 1'234'567'890) << path;
    EXPECT_EQ(info.st_mtim.tv_nsec, 123'000'000) << path;
  }
}

TEST_F(Collect, lists_only_without_a_destination) {
  options_.destination = "";
  write(upper_ / "a", "text");
  const CollectedFiles result = collected();
  EXPECT_EQ(lines(result), Lines{"created file a"});
  EXPECT_EQ(find(result, "a").digest, "sha256:" + sha256_hex("text"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Collect, without_digests_the_copy_is_the_same) {
  options_.digests = false;
  const std::string bytes(1'000'000, 'b');
  write(upper_ / "a", bytes);
  write(upper_ / "empty", "");
  const CollectedFiles result = collected();
  EXPECT_EQ(find(result, "a").digest, "");
  EXPECT_EQ(read(out_ / "a"), bytes);
  EXPECT_TRUE(fs::is_empty(out_ / "empty"));
}

TEST_F(Collect, makes_the_destination_only_as_deep_as_needed) {
  out_ = top_ / "new/and/deep";
  options_.destination = out_;
  fs::create_directories(lower_ / "known");
  fs::create_directories(upper_ / "known");
  const CollectedFiles result = collected();
  EXPECT_EQ(lines(result), Lines{});
  EXPECT_TRUE(fs::is_empty(out_)) << "a directory in which nothing changed is not made";
}

TEST_F(Collect, symlinks_stay_links) {
  fs::create_symlink("/etc/passwd", upper_ / "host");
  fs::create_symlink("nowhere\n\xff", upper_ / "dangling");
  fs::create_directory_symlink("/etc", upper_ / "dir");
  const CollectedFiles result = collected();
  EXPECT_EQ(lines(result), (Lines{"created symlink dangling", "created symlink dir", "created symlink host"}));
  EXPECT_EQ(find(result, "host").link_target, "/etc/passwd");
  EXPECT_EQ(find(result, "host").size, 11u);
  EXPECT_EQ(fs::read_symlink(out_ / "host"), "/etc/passwd");
  EXPECT_EQ(fs::read_symlink(out_ / "dangling"), "nowhere\n\xff");
}

TEST_F(Collect, holes_stay_holes) {
  for (const bool digests : {true, false}) {
    options_.digests = digests;
    const int fd = ::open((upper_ / "sparse").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    ASSERT_EQ(::ftruncate(fd, 16 << 20), 0);
    ASSERT_EQ(::pwrite(fd, "middle", 6, 8 << 20), 6);
    ::close(fd);
    const CollectedFiles result = collected();
    struct stat info{};
    ASSERT_EQ(::stat((out_ / "sparse").c_str(), &info), 0);
    EXPECT_EQ(info.st_size, 16 << 20);
    EXPECT_LT(info.st_blocks * 512, 1 << 20);
    EXPECT_EQ(read(out_ / "sparse").substr(8 << 20, 6), "middle");
    if (digests) {
      EXPECT_EQ(find(result, "sparse").digest, "sha256:" + sha256_hex(read(out_ / "sparse")));
    }
    fs::remove_all(out_);
  }
}

TEST_F(Collect, two_names_of_one_inode_become_two_files) {
  write(upper_ / "a", "text");
  fs::create_hard_link(upper_ / "a", upper_ / "b");
  EXPECT_EQ(lines(collected()), (Lines{"created file a", "created file b"}));
  EXPECT_EQ(fs::hard_link_count(out_ / "a"), 1u);
  EXPECT_EQ(read(out_ / "b"), "text");
}

// ---- traps

TEST_F(Collect, special_files_are_skipped_and_named) {
  ASSERT_EQ(::mkfifo((upper_ / "fifo").c_str(), 0666), 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  (upper_ / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Lines expected{"created skipped fifo: fifo", "created skipped socket: socket"};
  if (::mknod((upper_ / "device").c_str(), S_IFCHR | 0666, ::makedev(1, 5)) == 0)
    expected.insert(expected.begin(), "created skipped device: device");
  EXPECT_EQ(lines(collected()), expected);
  EXPECT_TRUE(fs::is_empty(out_));
}

TEST_F(Collect, hard_names_are_names) {
  const std::vector<std::string> names{"-rf", "--", "new\nline", "\xff\xfe", "\x1b[2J", " ", std::string(255, 'n'), "...", "a\\b", "*"};
  for (const std::string& name : names) write(upper_ / name, name);
  const CollectedFiles result = collected();
  EXPECT_EQ(result.changes.size(), names.size());
  EXPECT_EQ(result.problem, "");
  for (const std::string& name : names) {
    EXPECT_EQ(find(result, name).path, name);
    EXPECT_EQ(read(out_ / name), name);
  }
}

TEST_F(Collect, what_forbids_reading_is_read_and_its_mode_given_back) {
  fs::create_directories(upper_ / "locked/in");
  write(upper_ / "locked/in/file", "text");
  fs::permissions(upper_ / "locked/in/file", fs::perms::none);
  fs::permissions(upper_ / "locked/in", fs::perms::none);
  fs::permissions(upper_ / "locked", fs::perms::owner_read);
  fs::permissions(upper_, fs::perms::none);
  const CollectedFiles result = collected();
  EXPECT_EQ(fs::status(upper_).permissions(), fs::perms::none);
  fs::permissions(upper_, fs::perms::owner_all);
  EXPECT_EQ(fs::status(upper_ / "locked").permissions(), fs::perms::owner_read);
  fs::permissions(upper_ / "locked", fs::perms::owner_all);
  EXPECT_EQ(fs::status(upper_ / "locked/in").permissions(), fs::perms::none);
  fs::permissions(upper_ / "locked/in", fs::perms::owner_all);
  EXPECT_EQ(fs::status(upper_ / "locked/in/file").permissions(), fs::perms::none);
  EXPECT_EQ(lines(result), (Lines{"created directory locked", "created directory locked/in", "created file locked/in/file"}));
  EXPECT_EQ(find(result, "locked/in/file").mode, 0u);
  EXPECT_EQ(read(out_ / "locked/in/file"), "text");
}

TEST_F(Collect, sparse_giants_are_skipped_and_named) {
  const int fd = ::open((upper_ / "giant").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  const bool sized = ::ftruncate(fd, 8ll << 40) == 0 || ::ftruncate(fd, 8ll << 30) == 0;  // not every filesystem has such large files
  ASSERT_TRUE(sized);
  ::close(fd);
  write(upper_ / "small", "s");
  const CollectedFiles result = collected();
  ASSERT_EQ(result.changes.size(), 2u);
  EXPECT_EQ(result.changes[0].type, Change::Type::skipped);
  EXPECT_TRUE(result.changes[0].reason.starts_with("sparse: 8.0 ")) << result.changes[0].reason;
  EXPECT_EQ(read(out_ / "small"), "s");
  EXPECT_FALSE(fs::exists(out_ / "giant"));
}

TEST_F(Collect, what_goes_over_the_total_is_skipped_and_named) {
  options_.max_total_bytes = 10;
  options_.max_file_bytes = 8;
  write(upper_ / "a", "123456789");
  write(upper_ / "b", "12345678");
  write(upper_ / "c", "12345678");
  const CollectedFiles result = collected();
  EXPECT_EQ(find(result, "a").reason, "9 B, over the limit of 8 B a file");
  EXPECT_EQ((find(result, "b").type == Change::Type::file) + (find(result, "c").type == Change::Type::file), 1);
  const std::string over = "8 B, over the limit of 10 B in all";
  EXPECT_EQ((find(result, "b").reason == over) + (find(result, "c").reason == over), 1);
}

TEST_F(Collect, deep_trees_are_cut_where_the_limit_is) {
  const UniqueFd upper(::open(upper_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  make_chain(upper.get(), 3000, "d");
  write(upper_ / "near", "n");
  const auto result = collect(upper.get(), options_);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->changes.size(), 513u);
  EXPECT_EQ(result->changes[511].reason, "deeper than 512 levels");
  EXPECT_EQ(read(out_ / "near"), "n");
  options_.max_depth = 10'000;
  options_.destination = top_ / "all";
  const auto all = collect(upper.get(), options_);
  ASSERT_TRUE(all);
  EXPECT_TRUE(std::any_of(all->changes.begin(), all->changes.end(), [](const Change& c) { return c.reason == "path too long"; }));
  EXPECT_EQ(all->problem, "");
}

TEST_F(Collect, long_paths_are_cut_before_they_fill_memory) {
  const UniqueFd upper(::open(upper_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  make_chain(upper.get(), 40, std::string(250, 'd'));
  const auto result = collect(upper.get(), options_);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->changes.size(), 17u);
  EXPECT_EQ(result->changes.back().reason, "path too long");
  EXPECT_EQ(result->problem, "");
}

TEST_F(Collect, more_entries_than_the_limit_are_left_out) {
  options_.max_entries = 100;
  for (int i = 0; i < 500; ++i) write(upper_ / std::to_string(i), "");
  const CollectedFiles result = collected();
  EXPECT_TRUE(result.truncated);
  EXPECT_EQ(result.changes.size(), 100u);
}

TEST_F(Collect, mount_points_are_not_entered) {
  in_mount_namespace([&] {
    fs::create_directory(upper_ / "mounted");
    ASSERT_EQ(::mount("/etc", (upper_ / "mounted").c_str(), nullptr, MS_BIND | MS_REC, nullptr), 0) << std::strerror(errno);
    EXPECT_EQ(lines(collected()), Lines{"created skipped mounted: something is mounted there"});
  });
}

// ---- the destination

TEST_F(Collect, links_in_the_destination_are_not_followed) {
  fs::create_directory(top_ / "outside");
  write(top_ / "outside/file", "old");
  fs::create_directory(out_);
  fs::create_directory_symlink("../outside", out_ / "dir");
  fs::create_symlink("../outside/file", out_ / "file");
  fs::create_symlink("../outside/new", out_ / "new");
  fs::create_directory(upper_ / "dir");
  for (const char* path : {"dir/file", "dir/new", "file", "new"}) write(upper_ / path, "hostile");
  const CollectedFiles result = collected();
  EXPECT_EQ(result.changes.size(), 5u);
  for (const Change& change : result.changes) EXPECT_TRUE(change.reason.starts_with("not copied: ")) << line(change);
  EXPECT_NE(result.problem, "");
  EXPECT_EQ(read(top_ / "outside/file"), "old");
  EXPECT_FALSE(fs::exists(top_ / "outside/new"));
}

TEST_F(Collect, nothing_is_written_over) {
  fs::create_directory(out_);
  write(out_ / "a", "mine");
  write(upper_ / "a", "new");
  write(upper_ / "b", "new");
  const CollectedFiles result = collected();
  EXPECT_EQ(lines(result), (Lines{"created file a: not copied: File exists", "created file b"}));
  EXPECT_EQ(result.problem, "can't copy a to " + out_.string() + ": File exists");
  EXPECT_EQ(read(out_ / "a"), "mine");
  EXPECT_EQ(read(out_ / "b"), "new");
}

TEST_F(Collect, a_full_destination_is_said_and_the_rest_is_listed) {
  in_mount_namespace([&] {
    fs::create_directory(out_);
    ASSERT_EQ(::mount("none", out_.c_str(), "tmpfs", 0, "size=64k"), 0);
    write(upper_ / "big", std::string(1 << 20, 'b'));
    write(upper_ / "small", "s");
    const CollectedFiles result = collected();
    ASSERT_EQ(result.changes.size(), 2u);
    EXPECT_EQ(result.problem, "can't copy big to " + out_.string() + ": No space left on device");
    EXPECT_EQ(find(result, "big").digest, "sha256:" + sha256_hex(std::string(1 << 20, 'b')));
    EXPECT_EQ(find(result, "small").digest, "sha256:" + sha256_hex("s"));
    EXPECT_FALSE(fs::exists(out_ / "big")) << "no half file stays";
  });
}

TEST_F(Collect, a_read_only_destination_is_said) {
  in_mount_namespace([&] {
    fs::create_directory(out_);
    ASSERT_EQ(::mount("none", out_.c_str(), "tmpfs", MS_RDONLY, nullptr), 0);
    fs::create_directory(upper_ / "d");
    write(upper_ / "d/a", "a");
    const CollectedFiles result = collected();
    EXPECT_EQ(lines(result),
              (Lines{"created directory d: not copied: Read-only file system", "created file d/a: not copied: Read-only file system"}));
    EXPECT_EQ(result.problem, "can't copy d to " + out_.string() + ": Read-only file system");
  });
}

TEST_F(Collect, a_name_that_the_destination_refuses_is_skipped) {
  in_mount_namespace([&] {
    // A tmpfs of Linux 6.13 that takes UTF-8 alone stands for every filesystem with rules for names.
    fs::create_directory(out_);
    if (::mount("none", out_.c_str(), "tmpfs", 0, "casefold,strict_encoding") < 0) GTEST_SKIP() << "casefold: " << std::strerror(errno);
    fs::create_directory(out_ / "utf8");
    const UniqueFd fd(::open((out_ / "utf8").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int flags = FS_CASEFOLD_FL;
    ASSERT_EQ(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags), 0) << std::strerror(errno);
    options_.destination = out_ / "utf8";
    fs::create_directory(upper_ / "\xff");
    write(upper_ / "\xff/in", "x");
    write(upper_ / "\xfe", "x");
    write(upper_ / "ok", "x");
    const CollectedFiles result = collected();
    const std::string reason = ": the destination's filesystem does not take it (Invalid argument)";
    EXPECT_EQ(lines(result), (Lines{"created file ok", "created skipped \\xfe" + reason, "created skipped \\xff" + reason,
                                    "created skipped \\xff/in" + reason}));
    EXPECT_EQ(result.problem, "");
    EXPECT_EQ(read(out_ / "utf8/ok"), "x");
  });
}

TEST_F(Collect, fails_only_when_it_can_do_nothing) {
  write(top_ / "file", "");
  const UniqueFd file(::open((top_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(collect(file.get(), options_));
  EXPECT_FALSE(collect(-1, options_));
  const UniqueFd upper(::open(upper_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  options_.destination = top_ / "file";
  const auto no_directory = collect(upper.get(), options_);
  ASSERT_FALSE(no_directory);
  EXPECT_NE(no_directory.error().what.find("file: Not a directory"), std::string::npos) << no_directory.error().what;
  options_.destination = top_ / "file/below";
  EXPECT_FALSE(collect(upper.get(), options_));
}

TEST_F(Collect, a_lower_directory_that_is_gone_is_said) {
  options_.lower = {top_ / "none"};
  write(upper_ / "a", "");
  const CollectedFiles result = collected();
  EXPECT_EQ(lines(result), Lines{"created file a"});
  EXPECT_NE(result.problem.find("none"), std::string::npos);
}

}  // namespace
}  // namespace casemate
