#include "sys/path.h"

#include <set>
#include <string>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "scratch.h"

namespace casemate {
namespace {

class Path : public Scratch {};

// ---- opening

TEST_F(Path, opens_what_lies_beneath) {
  fs::create_directories(top_ / "a/b");
  write(top_ / "a/b/file", "text");
  const auto file = open_beneath(fd_.get(), "a/b/file", O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_EQ(read_all(file->get(), 100).value(), "text");
  EXPECT_TRUE(::fcntl(file->get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_EQ(open_beneath(fd_.get(), "a/none", O_RDONLY).error(), ENOENT);
}

TEST_F(Path, does_not_leave_by_dots_roots_or_links) {
  fs::create_directory(top_ / "in");
  write(top_ / "secret", "s");
  fs::create_symlink("../secret", top_ / "in/up");
  fs::create_symlink("/etc", top_ / "in/etc");
  fs::create_symlink("file", top_ / "in/near");
  write(top_ / "in/file", "f");
  const auto in = open_beneath(fd_.get(), "in", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(in);
  EXPECT_EQ(open_beneath(in->get(), "../secret", O_RDONLY).error(), EXDEV);
  EXPECT_EQ(open_beneath(in->get(), "/etc/passwd", O_RDONLY).error(), EXDEV);
  EXPECT_EQ(open_beneath(in->get(), "up", O_RDONLY).error(), ELOOP);
  EXPECT_EQ(open_beneath(in->get(), "etc/passwd", O_RDONLY).error(), ELOOP);
  EXPECT_EQ(open_beneath(in->get(), "near", O_RDONLY).error(), ELOOP);
  EXPECT_TRUE(open_beneath(in->get(), "file", O_RDONLY));
}

TEST_F(Path, a_fifo_does_not_block) {
  ASSERT_EQ(::mkfifoat(fd_.get(), "fifo", 0600), 0);
  EXPECT_TRUE(open_beneath(fd_.get(), "fifo", O_RDONLY));
}

TEST_F(Path, a_mount_point_is_not_crossed) {
  const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(open_beneath(root.get(), "proc/self", O_PATH).error(), EXDEV);
}

TEST_F(Path, reads_a_file_that_forbids_it_to_its_owner) {
  write(top_ / "locked", "text");
  fs::permissions(top_ / "locked", fs::perms::none);
  const auto file = open_despite_mode(fd_.get(), "locked", O_RDONLY, 0400);
  ASSERT_TRUE(file) << std::strerror(file.error());
  EXPECT_EQ(read_all(file->get(), 100).value(), "text");
}

TEST_F(Path, does_not_unlock_through_a_link) {
  write(top_ / "locked", "text");
  fs::permissions(top_ / "locked", fs::perms::none);
  fs::create_symlink("locked", top_ / "link");
  EXPECT_FALSE(open_despite_mode(fd_.get(), "link", O_RDONLY, 0400));
  EXPECT_EQ(fs::status(top_ / "locked").permissions(), fs::perms::none);
}

TEST_F(Path, changes_modes_by_any_kind_of_fd) {
  write(top_ / "file", "");
  const UniqueFd plain(::open((top_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(change_mode(plain.get(), 0640));
  EXPECT_EQ(stat_beneath(fd_.get(), "file")->st_mode & 07777, 0640u);
  const auto place = open_beneath(fd_.get(), "file", O_PATH);
  ASSERT_TRUE(change_mode(place->get(), 0600));
  EXPECT_EQ(stat_beneath(fd_.get(), "file")->st_mode & 07777, 0600u);
}

// ---- making

TEST_F(Path, makes_directories_and_files) {
  const auto made = make_directories_beneath(fd_.get(), "a//./b/c");
  ASSERT_TRUE(made);
  EXPECT_TRUE(make_file_beneath(made->get(), "file"));
  EXPECT_TRUE(fs::is_regular_file(top_ / "a/b/c/file"));
  EXPECT_TRUE(make_directories_beneath(fd_.get(), "a/b/c"));
  EXPECT_TRUE(make_directories_beneath(fd_.get(), ""));
  EXPECT_EQ(make_file_beneath(made->get(), "file").error(), EEXIST);
}

TEST_F(Path, makes_nothing_through_a_link) {
  fs::create_directory(top_ / "outside");
  fs::create_directory(top_ / "in");
  fs::create_directory_symlink("../outside", top_ / "in/link");
  fs::create_symlink(top_ / "outside/new", top_ / "in/dangling");
  const auto in = open_beneath(fd_.get(), "in", O_PATH | O_DIRECTORY);
  EXPECT_FALSE(make_directories_beneath(in->get(), "link/sub"));
  EXPECT_FALSE(make_directories_beneath(in->get(), "../outside/sub"));
  EXPECT_FALSE(make_file_beneath(in->get(), "link/file"));
  EXPECT_EQ(make_file_beneath(in->get(), "dangling").error(), EEXIST);
  EXPECT_TRUE(fs::is_empty(top_ / "outside"));
}

// ---- reading directories

TEST_F(Path, reads_each_name_once) {
  std::set<std::string> made{"-rf", "new\nline", "\xff\xfe", std::string(255, 'n'), "..."};
  for (int i = 0; i < 3000; ++i) made.insert("file" + std::to_string(i));
  for (const std::string& name : made) write(top_ / name, "");
  DirectoryReader reader(fd_.get());
  std::multiset<std::string> seen;
  for (auto entry = reader.next(); entry && *entry; entry = reader.next()) seen.emplace((*entry)->name);
  EXPECT_EQ(seen, std::multiset<std::string>(made.begin(), made.end()));
}

TEST_F(Path, says_when_it_is_no_directory) {
  write(top_ / "file", "");
  const auto file = open_beneath(fd_.get(), "file", O_RDONLY);
  DirectoryReader reader(file->get());
  EXPECT_EQ(reader.next().error(), ENOTDIR);
}

// ---- a place in a tree

TEST_F(Path, goes_down_and_up_any_depth_with_one_fd) {
  make_chain(fd_.get(), 3000, "d");
  const int before = open_fds();
  {
    auto position = TreePosition::start(fd_.get(), 0500);
    ASSERT_TRUE(position);
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(position->enter("d"));
    EXPECT_EQ(position->depth(), 3000u);
    EXPECT_EQ(open_fds(), before + 1);
    EXPECT_TRUE(stat_beneath(position->fd(), "bottom"));
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(position->leave());
    EXPECT_EQ(position->depth(), 0u);
    EXPECT_EQ(position->leave().error(), EXDEV);
  }
  EXPECT_EQ(open_fds(), before);
}

TEST_F(Path, gives_modes_back_on_the_way_up) {
  fs::create_directories(top_ / "a/b");
  write(top_ / "a/b/file", "");
  fs::permissions(top_ / "a/b", fs::perms::none);
  fs::permissions(top_ / "a", fs::perms::none);
  {
    auto position = TreePosition::start(fd_.get(), 0500);
    ASSERT_TRUE(position);
    ASSERT_TRUE(position->enter("a"));
    EXPECT_EQ(position->info().st_mode & 07777, 0u);
    ASSERT_TRUE(position->enter("b"));
    EXPECT_TRUE(stat_beneath(position->fd(), "file"));
  }
  EXPECT_EQ(stat_beneath(fd_.get(), "a")->st_mode & 07777, 0u);
  fs::permissions(top_ / "a", fs::perms::owner_all);
  EXPECT_EQ(fs::status(top_ / "a/b").permissions(), fs::perms::none);
}

TEST_F(Path, starts_in_a_directory_that_is_locked_itself) {
  fs::create_directory(top_ / "a");
  write(top_ / "a/file", "");
  fs::permissions(top_ / "a", fs::perms::none);
  {
    const auto a = open_beneath(fd_.get(), "a", O_PATH | O_DIRECTORY);
    auto position = TreePosition::start(a->get(), 0500);
    ASSERT_TRUE(position) << std::strerror(position.error());
    EXPECT_TRUE(stat_beneath(position->fd(), "file"));
  }
  EXPECT_EQ(fs::status(top_ / "a").permissions(), fs::perms::none);
}

TEST_F(Path, enters_directories_alone) {
  write(top_ / "file", "");
  fs::create_directory_symlink("/etc", top_ / "link");
  auto position = TreePosition::start(fd_.get(), 0500);
  EXPECT_EQ(position->enter("file").error(), ENOTDIR);
  const auto through_link = position->enter("link");
  ASSERT_FALSE(through_link);
  EXPECT_TRUE(through_link.error() == ELOOP || through_link.error() == ENOTDIR);
  EXPECT_EQ(position->enter("none").error(), ENOENT);
  const auto file = open_beneath(fd_.get(), "file", O_RDONLY);
  EXPECT_EQ(TreePosition::start(file->get(), 0500).error(), ENOTDIR);
}

TEST_F(Path, notices_that_the_tree_was_moved) {
  fs::create_directories(top_ / "a/b");
  fs::create_directory(top_ / "elsewhere");
  auto position = TreePosition::start(fd_.get(), 0500);
  ASSERT_TRUE(position->enter("a"));
  ASSERT_TRUE(position->enter("b"));
  fs::rename(top_ / "a/b", top_ / "elsewhere/b");
  EXPECT_EQ(position->leave().error(), ESTALE);
}

// ---- removing

TEST_F(Path, removes_what_is_and_what_is_not_there) {
  EXPECT_TRUE(remove_tree_at(fd_.get(), "none"));
  write(top_ / "file", "");
  EXPECT_TRUE(remove_tree_at(fd_.get(), "file"));
  fs::create_directory(top_ / "empty");
  EXPECT_TRUE(remove_tree_at(fd_.get(), "empty"));
  EXPECT_TRUE(fs::is_empty(top_));
}

TEST_F(Path, takes_one_name_not_a_path) {
  fs::create_directory(top_ / "a");
  for (const char* name : {"", ".", "..", "a/.", "/tmp"}) EXPECT_FALSE(remove_tree_at(fd_.get(), name)) << name;
  EXPECT_TRUE(fs::exists(top_ / "a"));
}

TEST_F(Path, removes_links_and_not_their_targets) {
  fs::create_directory(top_ / "keep");
  write(top_ / "keep/file", "");
  fs::create_directory(top_ / "tree");
  fs::create_directory_symlink("../keep", top_ / "tree/link");
  fs::create_directory_symlink("keep", top_ / "top_link");
  EXPECT_TRUE(remove_tree_at(fd_.get(), "tree"));
  EXPECT_TRUE(remove_tree_at(fd_.get(), "top_link"));
  EXPECT_TRUE(fs::exists(top_ / "keep/file"));
  EXPECT_FALSE(fs::exists(top_ / "tree"));
}

TEST_F(Path, removes_special_files_and_hard_names) {
  fs::create_directory(top_ / "tree");
  const auto tree = open_beneath(fd_.get(), "tree", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::mkfifoat(tree->get(), "fifo", 0), 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  (top_ / "tree/socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  for (const std::string& name : {std::string("-rf"), std::string("new\nline"), std::string("\xff"), std::string(255, 'x')}) {
    write(top_ / "tree" / name, "");
    ASSERT_EQ(::mkdirat(tree->get(), (name.substr(0, 200) + "d").c_str(), 0), 0);
  }
  EXPECT_TRUE(remove_tree_at(fd_.get(), "tree"));
  EXPECT_TRUE(fs::is_empty(top_));
}

TEST_F(Path, removes_directories_that_forbid_it_to_their_owner) {
  for (const auto mode : {fs::perms::none, fs::perms::owner_read, fs::perms::owner_read | fs::perms::owner_exec, fs::perms::owner_write}) {
    fs::create_directories(top_ / "tree/in/deep");
    write(top_ / "tree/in/deep/file", "");
    fs::permissions(top_ / "tree/in/deep", mode);
    fs::permissions(top_ / "tree/in", mode);
    fs::permissions(top_ / "tree", mode);
    const auto removed = remove_tree_at(fd_.get(), "tree");
    EXPECT_TRUE(removed) << removed.error().what;
    EXPECT_TRUE(fs::is_empty(top_));
  }
}

TEST_F(Path, removes_deep_trees_of_long_names) {
  make_chain(fd_.get(), 4000, std::string(250, 'd'));  // a path of a million bytes
  const int before = open_fds();
  const auto removed = remove_tree_at(fd_.get(), std::string(250, 'd'));
  EXPECT_TRUE(removed) << removed.error().what;
  EXPECT_TRUE(fs::is_empty(top_));
  EXPECT_EQ(open_fds(), before);
}

TEST_F(Path, removes_wide_trees) {
  for (int i = 0; i < 700; ++i) fs::create_directories(top_ / "tree" / std::to_string(i) / "in");
  for (int i = 0; i < 5000; ++i) write(top_ / "tree" / ("file" + std::to_string(i)), "");
  const auto removed = remove_tree_at(fd_.get(), "tree");
  EXPECT_TRUE(removed) << removed.error().what;
  EXPECT_TRUE(fs::is_empty(top_));
}

TEST_F(Path, leaves_mount_points_and_says_so) {
  fs::create_directories(top_ / "tree/a/mounted");
  fs::create_directories(top_ / "tree/a/bound");
  fs::create_directories(top_ / "keep");
  for (int i = 0; i < 20; ++i) write(top_ / "tree/a" / std::to_string(i), "");
  write(top_ / "keep/file", "");
  in_mount_namespace([&] {
    ASSERT_EQ(::mount("none", (top_ / "tree/a/mounted").c_str(), "tmpfs", 0, nullptr), 0);
    write(top_ / "tree/a/mounted/file", "");
    ASSERT_EQ(::mount((top_ / "keep").c_str(), (top_ / "tree/a/bound").c_str(), nullptr, MS_BIND, nullptr), 0);
    const auto removed = remove_tree_at(fd_.get(), "tree");
    ASSERT_FALSE(removed);
    EXPECT_NE(removed.error().what.find("tree/a/"), std::string::npos) << removed.error().what;
    EXPECT_NE(removed.error().what.find("mounted there"), std::string::npos) << removed.error().what;
    EXPECT_TRUE(fs::exists(top_ / "tree/a/mounted/file"));
    EXPECT_TRUE(fs::exists(top_ / "keep/file"));
    EXPECT_FALSE(fs::exists(top_ / "tree/a/7")) << "the rest goes all the same";
  });
  EXPECT_TRUE(fs::exists(top_ / "keep/file"));
}

}  // namespace
}  // namespace casemate
