#include "engine/collect.h"

#include <climits>
#include <map>
#include <random>
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
#include <sys/xattr.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "scratch.h"

namespace casemate {
namespace {

// "created file a/b", a line a change: what most tests compare.
std::string line(const Change& change) {
  constexpr const char* kKinds[] = {"created", "modified", "deleted"};
  constexpr const char* kTypes[] = {"file", "directory", "symlink", "skipped"};
  return std::string(kKinds[static_cast<int>(change.kind)]) + " " + kTypes[static_cast<int>(change.type)] + " " +
         printable_name(change.path) + (change.reason.empty() ? "" : ": " + change.reason);
}

using Lines = std::vector<std::string>;

Lines lines(const Collected& collected) {
  Lines all;
  for (const Change& change : collected.changes) all.push_back(line(change));
  return all;
}

const Change& find(const Collected& collected, const std::string& path) {
  static const Change kNone{.path = "none"};
  for (const Change& change : collected.changes) {
    if (change.path == path) return change;
  }
  return kNone;
}

class Collect : public Scratch {
 protected:
  void SetUp() override {
    Scratch::SetUp();
    for (const char* name : {"upper", "lower", "work", "merged"}) fs::create_directory(top_ / name);
    upper_ = top_ / "upper";
    lower_ = top_ / "lower";
    merged_ = top_ / "merged";
    out_ = top_ / "out";
    options_.lower = {lower_};
    options_.destination = out_;
  }

  // Collects, and checks what is true of every collection.
  Collected collected() {
    const int before = open_fds();
    const UniqueFd upper(::open(upper_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto result = collect(upper.get(), options_);
    EXPECT_EQ(open_fds(), before + 1);
    if (!result) {
      ADD_FAILURE() << result.error().what;
      return {};
    }
    EXPECT_TRUE(
        std::is_sorted(result->changes.begin(), result->changes.end(), [](const Change& a, const Change& b) { return a.path < b.path; }));
    return std::move(*result);
  }

  void whiteout(const fs::path& path) { ASSERT_EQ(::mknod(path.c_str(), S_IFCHR | 0, ::makedev(0, 0)), 0) << std::strerror(errno); }

  // An overlay of lower_ and upper_ at merged_; for use in a mount namespace.
  void mount_overlay(const std::string& lower) {
    const std::string options = "userxattr,lowerdir=" + lower + ",upperdir=" + upper_.string() + ",workdir=" + (top_ / "work").string();
    if (::mount("overlay", merged_.c_str(), "overlay", 0, options.c_str()) < 0) GTEST_SKIP() << "overlay: " << std::strerror(errno);
  }

  fs::path upper_, lower_, merged_, out_;
  CollectOptions options_;
};

// ---- what is copied, and how

TEST_F(Collect, copies_new_files_with_digest_mode_and_time) {
  fs::create_directories(upper_ / "sub/deep");
  write(upper_ / "a.csv", "x,y\n");
  write(upper_ / "sub/deep/run", "#!/bin/sh\n");
  ASSERT_EQ(::chmod((upper_ / "sub/deep/run").c_str(), 06750), 0);
  const timespec times[2] = {{1'000'000'000, 0}, {1'234'567'890, 123'000'000}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper_ / "a.csv").c_str(), times, 0), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (upper_ / "sub/deep").c_str(), times, 0), 0);
  const Collected result = collected();
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
  const Collected result = collected();
  EXPECT_EQ(lines(result), Lines{"created file a"});
  EXPECT_EQ(find(result, "a").digest, "sha256:" + sha256_hex("text"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Collect, without_digests_the_copy_is_the_same) {
  options_.digests = false;
  const std::string bytes(1'000'000, 'b');
  write(upper_ / "a", bytes);
  write(upper_ / "empty", "");
  const Collected result = collected();
  EXPECT_EQ(find(result, "a").digest, "");
  EXPECT_EQ(read(out_ / "a"), bytes);
  EXPECT_TRUE(fs::is_empty(out_ / "empty"));
}

TEST_F(Collect, makes_the_destination_only_as_deep_as_needed) {
  out_ = top_ / "new/and/deep";
  options_.destination = out_;
  fs::create_directories(lower_ / "known");
  fs::create_directories(upper_ / "known");
  const Collected result = collected();
  EXPECT_EQ(lines(result), Lines{});
  EXPECT_TRUE(fs::is_empty(out_)) << "a directory in which nothing changed is not made";
}

TEST_F(Collect, symlinks_stay_links) {
  fs::create_symlink("/etc/passwd", upper_ / "host");
  fs::create_symlink("nowhere\n\xff", upper_ / "dangling");
  fs::create_directory_symlink("/etc", upper_ / "dir");
  const Collected result = collected();
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
    ASSERT_EQ(::ftruncate(fd, 64 << 20), 0);
    ASSERT_EQ(::pwrite(fd, "middle", 6, 32 << 20), 6);
    ::close(fd);
    const Collected result = collected();
    struct stat info{};
    ASSERT_EQ(::stat((out_ / "sparse").c_str(), &info), 0);
    EXPECT_EQ(info.st_size, 64 << 20);
    EXPECT_LT(info.st_blocks * 512, 4 << 20);
    EXPECT_EQ(read(out_ / "sparse").substr(32 << 20, 6), "middle");
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
  const Collected result = collected();
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
  const Collected result = collected();
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
  const Collected result = collected();
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
  const Collected result = collected();
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
  const Collected result = collected();
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
  const Collected result = collected();
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
  const Collected result = collected();
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
    const Collected result = collected();
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
    const Collected result = collected();
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
    const Collected result = collected();
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
  const Collected result = collected();
  EXPECT_EQ(lines(result), Lines{"created file a"});
  EXPECT_NE(result.problem.find("none"), std::string::npos);
}

// ---- what is a change, by hand-made layers

TEST_F(Collect, tells_created_from_modified_and_touched) {
  for (const char* name : {"same", "longer", "other", "mode"}) write(lower_ / name, "text");
  fs::create_symlink("a", lower_ / "link_same");
  fs::create_symlink("a", lower_ / "link_other");
  write(upper_ / "same", "text");
  write(upper_ / "longer", "text and more");
  write(upper_ / "other", "TEXT");
  write(upper_ / "mode", "text");
  fs::permissions(upper_ / "mode", fs::perms::owner_all);
  write(upper_ / "new", "text");
  fs::create_symlink("a", upper_ / "link_same");
  fs::create_symlink("b", upper_ / "link_other");
  EXPECT_EQ(lines(collected()), (Lines{"modified symlink link_other", "modified file longer", "modified file mode", "created file new",
                                       "modified file other"}));
  EXPECT_FALSE(fs::exists(out_ / "same"));
}

TEST_F(Collect, a_set_id_bit_is_a_change) {
  write(lower_ / "tool", "text");
  write(upper_ / "tool", "text");
  fs::permissions(upper_ / "tool", fs::perms::set_uid, fs::perm_options::add);
  EXPECT_EQ(lines(collected()), Lines{"modified file tool"});
}

TEST_F(Collect, a_change_of_type_is_a_change) {
  write(lower_ / "file_to_dir", "f");
  fs::create_directories(lower_ / "dir_to_file/in");
  write(lower_ / "file_to_link", "f");
  fs::create_directory(upper_ / "file_to_dir");
  write(upper_ / "file_to_dir/new", "n");
  write(upper_ / "dir_to_file", "f");
  fs::create_symlink("x", upper_ / "file_to_link");
  EXPECT_EQ(lines(collected()), (Lines{"modified file dir_to_file", "modified directory file_to_dir", "created file file_to_dir/new",
                                       "modified symlink file_to_link"}));
}

TEST_F(Collect, whiteouts_are_deletions_of_what_was_there) {
  write(lower_ / "file", "");
  fs::create_directories(lower_ / "dir/in");
  fs::create_symlink("x", lower_ / "link");
  ASSERT_EQ(::mkfifo((lower_ / "fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "dir", "link", "fifo", "nothing"}) whiteout(upper_ / name);
  EXPECT_EQ(lines(collected()),
            (Lines{"deleted directory dir", "deleted skipped fifo: fifo", "deleted file file", "deleted symlink link"}));
  options_.lower.clear();
  EXPECT_EQ(collected().changes.size(), 5u) << "with no lower known, each whiteout counts";
}

TEST_F(Collect, an_opaque_directory_hides_what_was_in_it) {
  fs::create_directories(lower_ / "d/gone/in");
  fs::create_directories(lower_ / "d/sub");
  for (const char* name : {"d/old", "d/kept", "d/changed", "d/sub/old", "d/sub/kept"}) write(lower_ / name, "text");
  fs::create_directories(upper_ / "d/sub");
  for (const char* name : {"d/kept", "d/new", "d/sub/kept"}) write(upper_ / name, "text");
  write(upper_ / "d/changed", "TEXT");
  if (::setxattr((upper_ / "d").c_str(), "user.overlay.opaque", "y", 1, 0) < 0)
    GTEST_SKIP() << "no user xattrs here: " << std::strerror(errno);
  EXPECT_EQ(lines(collected()), (Lines{"modified file d/changed", "deleted directory d/gone", "created file d/new", "deleted file d/old",
                                       "deleted file d/sub/old"}));
}

TEST_F(Collect, whiteouts_may_be_attributes) {
  fs::create_directory(lower_ / "d");
  fs::create_directory(upper_ / "d");
  for (const char* name : {"d/gone", "d/emptied"}) {
    write(lower_ / name, "text");
    write(upper_ / name, "");
  }
  if (::setxattr((upper_ / "d").c_str(), "user.overlay.opaque", "x", 1, 0) < 0)
    GTEST_SKIP() << "no user xattrs here: " << std::strerror(errno);
  ASSERT_EQ(::setxattr((upper_ / "d/gone").c_str(), "user.overlay.whiteout", "", 0, 0), 0);
  EXPECT_EQ(lines(collected()), (Lines{"modified file d/emptied", "deleted file d/gone"}));
}

TEST_F(Collect, a_redirect_is_not_followed) {
  fs::create_directory(lower_ / "secret");
  write(lower_ / "secret/file", "text");
  fs::create_directory(upper_ / "d");
  if (::setxattr((upper_ / "d").c_str(), "user.overlay.redirect", "/secret", 7, 0) < 0)
    GTEST_SKIP() << "no user xattrs here: " << std::strerror(errno);
  write(upper_ / "d/file", "text");
  EXPECT_EQ(lines(collected()), (Lines{"created directory d", "created file d/file"}));
}

TEST_F(Collect, lower_layers_are_merged_as_overlayfs_does) {
  const fs::path top = top_ / "lower_top";
  fs::create_directories(top / "d");
  fs::create_directories(top / "hidden");
  fs::create_directories(lower_ / "d");
  fs::create_directories(lower_ / "hidden");
  write(top / "d/both", "top");
  write(lower_ / "d/both", "bottom");
  write(lower_ / "d/deep", "bottom");
  write(lower_ / "d/whited", "bottom");
  whiteout(top / "d/whited");
  write(lower_ / "hidden/file", "bottom");
  const bool xattrs = ::setxattr((top / "hidden").c_str(), "user.overlay.opaque", "y", 1, 0) == 0;
  options_.lower = {top, lower_};
  fs::create_directories(upper_ / "d");
  fs::create_directories(upper_ / "hidden");
  write(upper_ / "d/both", "top");
  write(upper_ / "d/deep", "changed");
  write(upper_ / "d/whited", "new");
  if (xattrs) write(upper_ / "hidden/file", "new");
  Lines expected{"modified file d/deep", "created file d/whited"};
  if (xattrs) expected.push_back("created file hidden/file");
  EXPECT_EQ(lines(collected()), expected);
}

// ---- what is a change, by a real overlay

TEST_F(Collect, says_what_was_done_in_an_overlay) {
  for (const char* name : {"touched", "appended", "removed", "chmodded", "renamed", "rewritten", "replaced_by_dir"})
    write(lower_ / name, "text");
  fs::create_directories(lower_ / "kept/deep");
  write(lower_ / "kept/deep/file", "text");
  write(lower_ / "kept/deep/other", "text");
  fs::create_directories(lower_ / "removed_dir/in");
  fs::create_directories(lower_ / "remade");
  write(lower_ / "remade/old", "text");
  write(lower_ / "remade/same", "text");
  in_mount_namespace([&] {
    mount_overlay(lower_);
    if (IsSkipped()) return;
    std::ofstream(merged_ / "touched", std::ios::app).flush();
    fs::last_write_time(merged_ / "touched", fs::file_time_type::clock::now());
    std::ofstream(merged_ / "appended", std::ios::app) << " more";
    fs::remove(merged_ / "removed");
    fs::permissions(merged_ / "chmodded", fs::perms::owner_read);
    fs::rename(merged_ / "renamed", merged_ / "kept/new_name");
    write(merged_ / "rewritten", "text");
    fs::remove(merged_ / "replaced_by_dir");
    fs::create_directory(merged_ / "replaced_by_dir");
    write(merged_ / "kept/deep/file", "changed");
    fs::remove_all(merged_ / "removed_dir");
    fs::remove_all(merged_ / "remade");
    fs::create_directory(merged_ / "remade");
    write(merged_ / "remade/same", "text");
    write(merged_ / "remade/new", "new");
    write(merged_ / "made_and_removed", "");
    fs::remove(merged_ / "made_and_removed");
    ASSERT_EQ(::umount(merged_.c_str()), 0);
    const Collected result = collected();
    EXPECT_EQ(lines(result),
              (Lines{"modified file appended", "modified file chmodded", "modified file kept/deep/file", "created file kept/new_name",
                     "created file remade/new", "deleted file remade/old", "deleted file removed", "deleted directory removed_dir",
                     "deleted file renamed", "modified directory replaced_by_dir"}));
    EXPECT_EQ(result.problem, "");
    EXPECT_EQ(read(out_ / "appended"), "text more");
    EXPECT_EQ(read(out_ / "kept/deep/file"), "changed");
    EXPECT_FALSE(fs::exists(out_ / "kept/deep/other"));
  });
}

// What a full scan of a tree sees, path by path: type, and mode and content where they count.
std::map<std::string, std::string> snapshot(const fs::path& root) {
  std::map<std::string, std::string> seen;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = fs::relative(entry.path(), root);
    if (entry.is_symlink()) {
      seen[path] = "symlink " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_directory()) {
      seen[path] = "directory";
    } else {
      seen[path] = "file " + std::to_string(static_cast<int>(entry.status().permissions())) + " " + read(entry.path());
    }
  }
  return seen;
}

// The changes between two scans, said as line() says them.
Lines difference(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& after) {
  const auto type = [](const std::string& what) { return what.substr(0, what.find(' ')); };
  std::map<std::string, std::string> all;
  for (const auto& [path, what] : after) {
    const auto old = before.find(path);
    if (old == before.end()) {
      all[path] = "created " + type(what) + " " + path;
    } else if (old->second != what) {
      all[path] = "modified " + type(what) + " " + path;
    }
  }
  for (const auto& [path, what] : before) {
    const std::string parent = fs::path(path).parent_path();
    const bool parent_stays = parent.empty() || (after.contains(parent) && after.at(parent) == "directory");
    if (!after.contains(path) && parent_stays) all[path] = "deleted " + type(what) + " " + path;
  }
  Lines lines;
  for (const auto& [path, said] : all) lines.push_back(said);
  return lines;
}

// One random thing that a job may do below `root`; the paths are few, so that things happen to the same ones again and again.
void do_something(const fs::path& root, std::mt19937& random) {
  const auto pick = [&](unsigned bound) { return random() % bound; };
  const auto path = [&] {
    fs::path any = root;
    for (unsigned depth = 1 + pick(3); depth > 0; --depth) any /= std::string(1, static_cast<char>('a' + pick(4)));
    return any;
  };
  const fs::path one = path();
  const fs::path two = path();
  std::error_code ignored;
  switch (pick(8)) {
    case 0:
    case 1:
      if (!fs::is_symlink(fs::symlink_status(one, ignored))) write(one, std::string(pick(3), static_cast<char>('x' + pick(2))));
      break;
    case 2:
      fs::create_directories(one, ignored);
      break;
    case 3:
      fs::create_symlink(pick(2) ? "/nowhere" : "nowhere", one, ignored);
      break;
    case 4:
      fs::remove(one, ignored);
      break;
    case 5:
      fs::remove_all(one, ignored);
      break;
    case 6:
      fs::rename(one, two, ignored);
      break;
    case 7:
      if (fs::is_regular_file(fs::symlink_status(one, ignored)))
        fs::permissions(one, pick(2) ? fs::perms::owner_all : fs::perms::owner_read | fs::perms::owner_write);
      break;
  }
}

TEST_F(Collect, agrees_with_a_full_scan_whatever_is_done) {
  in_mount_namespace([&] {
    std::mt19937 random(20240611);
    std::map<Change::Kind, std::size_t> kinds;
    for (int round = 0; round < 300; ++round) {
      const UniqueFd top(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      for (const char* name : {"upper", "lower", "work", "out", "lower_top", "work_top"}) {
        ASSERT_TRUE(remove_tree_at(top.get(), name));
        fs::create_directory(top_ / name);
      }
      for (int i = 0; i < 25; ++i) do_something(lower_, random);
      options_.lower = {lower_};
      // Every other round has a second lower layer, which an overlay made: with whiteouts and opaque directories.
      if (round % 2) {
        const std::string options = "userxattr,lowerdir=" + lower_.string() + ",upperdir=" + (top_ / "lower_top").string() +
                                    ",workdir=" + (top_ / "work_top").string();
        if (::mount("overlay", merged_.c_str(), "overlay", 0, options.c_str()) < 0) GTEST_SKIP() << "overlay: " << std::strerror(errno);
        for (int i = 0; i < 15; ++i) do_something(merged_, random);
        ASSERT_EQ(::umount(merged_.c_str()), 0);
        options_.lower.insert(options_.lower.begin(), (top_ / "lower_top").string());
      }
      mount_overlay(round % 2 ? (top_ / "lower_top").string() + ":" + lower_.string() : lower_.string());
      if (IsSkipped()) return;
      const auto before = snapshot(merged_);
      for (int i = 0; i < 20; ++i) do_something(merged_, random);
      const auto after = snapshot(merged_);
      ASSERT_EQ(::umount(merged_.c_str()), 0);
      const Collected result = collected();
      ASSERT_EQ(lines(result), difference(before, after)) << "round " << round;
      ASSERT_EQ(result.problem, "");
      for (const Change& change : result.changes) {
        ++kinds[change.kind];
        if (change.kind != Change::Kind::deleted && change.type == Change::Type::file) {
          ASSERT_EQ(change.digest, "sha256:" + sha256_hex(read(out_ / change.path)));
        }
      }
    }
    for (const auto kind : {Change::Kind::created, Change::Kind::modified, Change::Kind::deleted})
      EXPECT_GT(kinds[kind], 100u) << "the rounds do too little";
  });
}

TEST_F(Collect, a_job_cannot_fake_deletions_in_an_overlay) {
  write(lower_ / "file", "text");
  fs::create_directory(lower_ / "d");
  write(lower_ / "d/file", "text");
  in_mount_namespace([&] {
    mount_overlay(lower_);
    if (IsSkipped()) return;
    EXPECT_LT(::mknod((merged_ / "fake").c_str(), S_IFCHR | 0, ::makedev(0, 0)), 0);
    (void)::setxattr((merged_ / "d").c_str(), "user.overlay.opaque", "y", 1, 0);
    ASSERT_EQ(::umount(merged_.c_str()), 0);
    EXPECT_EQ(lines(collected()), Lines{});
  });
}

TEST_F(Collect, a_hundred_changes_among_fifty_thousand_files) {
  for (int d = 0; d < 100; ++d) {
    const fs::path dir = lower_ / ("dir" + std::to_string(d));
    fs::create_directory(dir);
    const UniqueFd fd(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (int f = 0; f < 500; ++f) {
      const UniqueFd file(::openat(fd.get(), ("file" + std::to_string(f)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
      ASSERT_EQ(::write(file.get(), "text", 4), 4);
    }
  }
  in_mount_namespace([&] {
    mount_overlay(lower_);
    if (IsSkipped()) return;
    for (int d = 0; d < 25; ++d) {
      const fs::path dir = merged_ / ("dir" + std::to_string(d * 4));
      write(dir / "file0", "changed " + std::to_string(d));
      write(dir / "file1", "text");
      fs::remove(dir / "file2");
      write(dir / "new0", "new");
      write(dir / "new1", "new");
    }
    ASSERT_EQ(::umount(merged_.c_str()), 0);
    const Collected result = collected();
    EXPECT_EQ(result.changes.size(), 100u);
    EXPECT_EQ(result.problem, "");
    std::map<Change::Kind, int> kinds;
    for (const Change& change : result.changes) ++kinds[change.kind];
    EXPECT_EQ(kinds[Change::Kind::created], 50);
    EXPECT_EQ(kinds[Change::Kind::modified], 25);
    EXPECT_EQ(kinds[Change::Kind::deleted], 25);
    EXPECT_EQ(read(out_ / "dir96/file0"), "changed 24");
    EXPECT_FALSE(fs::exists(out_ / "dir96/file1"));
    EXPECT_FALSE(fs::exists(out_ / "dir97"));
  });
}

}  // namespace
}  // namespace casemate
