// What collect() calls a change.
#include <map>
#include <random>
#include <string>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/digest.h"
#include "collect_scratch.h"
#include "tree_scan.h"

namespace casemate {
namespace {

class Changes : public CollectScratch {};

// ---- what is a change, by hand-made layers

TEST_F(Changes, tells_created_from_modified_and_touched) {
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

TEST_F(Changes, a_set_id_bit_is_a_change) {
  write(lower_ / "tool", "text");
  write(upper_ / "tool", "text");
  fs::permissions(upper_ / "tool", fs::perms::set_uid, fs::perm_options::add);
  EXPECT_EQ(lines(collected()), Lines{"modified file tool"});
}

TEST_F(Changes, a_change_of_type_is_a_change) {
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

TEST_F(Changes, whiteouts_are_deletions_of_what_was_there) {
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

TEST_F(Changes, an_opaque_directory_hides_what_was_in_it) {
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

TEST_F(Changes, whiteouts_may_be_attributes) {
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

TEST_F(Changes, a_redirect_is_not_followed) {
  fs::create_directory(lower_ / "secret");
  write(lower_ / "secret/file", "text");
  fs::create_directory(upper_ / "d");
  if (::setxattr((upper_ / "d").c_str(), "user.overlay.redirect", "/secret", 7, 0) < 0)
    GTEST_SKIP() << "no user xattrs here: " << std::strerror(errno);
  write(upper_ / "d/file", "text");
  EXPECT_EQ(lines(collected()), (Lines{"created directory d", "created file d/file"}));
}

TEST_F(Changes, lower_layers_are_merged_as_overlayfs_does) {
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

TEST_F(Changes, says_what_was_done_in_an_overlay) {
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
    const CollectedFiles result = collected();
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

TEST_F(Changes, agrees_with_a_full_scan_whatever_is_done) {
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
      const CollectedFiles result = collected();
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

TEST_F(Changes, a_job_cannot_fake_deletions_in_an_overlay) {
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

TEST_F(Changes, a_hundred_changes_among_fifty_thousand_files) {
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
    const CollectedFiles result = collected();
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
