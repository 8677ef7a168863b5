#include "command/work_layer.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cell/host.h"
#include "store/tree.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<std::string>;

// Three layers, topmost first, each with app/sub.
class WorkLayer : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-work-layer-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    top_ = name;
    for (const char* layer : {"/a", "/b", "/c"}) {
      fs::create_directories(top_ + layer + "/app/sub");
      layers_.push_back(top_ + layer);
    }
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(top_)); }
  [[nodiscard]] std::string in(const std::string& path) const { return top_ + "/" + path; }

  std::string top_;
  Paths layers_;
};

TEST_F(WorkLayer, all_layers_that_have_the_directory_are_found_in_their_order) {
  EXPECT_EQ(directories_at(layers_, "/app/sub"), (Paths{in("a/app/sub"), in("b/app/sub"), in("c/app/sub")}));
  EXPECT_EQ(directories_at(layers_, "//app/./sub/"), (Paths{in("a/app/sub"), in("b/app/sub"), in("c/app/sub")}));
  fs::remove(in("b/app/sub"));
  EXPECT_EQ(directories_at(layers_, "/app/sub"), (Paths{in("a/app/sub"), in("c/app/sub")}));
  EXPECT_EQ(directories_at(layers_, "/none"), Paths{});
  EXPECT_EQ(directories_at({}, "/app"), Paths{});
}

TEST_F(WorkLayer, what_hides_the_layers_below_hides_them_here) {
  fs::remove_all(in("b/app/sub"));
  std::ofstream(in("b/app/sub")) << "a file";
  EXPECT_EQ(directories_at(layers_, "/app/sub"), Paths{in("a/app/sub")});
  fs::remove(in("b/app/sub"));
  if (::mknod(in("b/app/sub").c_str(), S_IFCHR | 0444, makedev(0, 0)) < 0) GTEST_SKIP() << "no whiteout can be made here";
  EXPECT_EQ(directories_at(layers_, "/app/sub"), Paths{in("a/app/sub")});
}

TEST_F(WorkLayer, an_opaque_directory_is_the_last) {
  if (::setxattr(in("b/app").c_str(), "user.overlay.opaque", "y", 1, 0) < 0) GTEST_SKIP() << "no user xattrs here";
  EXPECT_EQ(directories_at(layers_, "/app/sub"), (Paths{in("a/app/sub"), in("b/app/sub")}));
  fs::remove(in("b/app/sub"));
  EXPECT_EQ(directories_at(layers_, "/app/sub"), Paths{in("a/app/sub")}) << "though it has not got the directory itself";
}

TEST_F(WorkLayer, a_link_of_a_layer_leads_nowhere) {
  fs::create_directory_symlink("/", in("a/out"));
  EXPECT_EQ(directories_at(layers_, "/out/etc"), Paths{});
  EXPECT_EQ(directories_at(layers_, "/out"), Paths{});
  EXPECT_EQ(directories_at(layers_, "/app/../../../etc"), Paths{});
}

TEST_F(WorkLayer, the_inputs_lie_over_what_is_there) {
  RunRequest request;
  request.job.cwd = "/app";
  request.inputs = {"x"};
  request.outputs = "out";
  ASSERT_TRUE(add_work_layer(request, "/staged", {"/layer/app"}));
  ASSERT_EQ(request.job.mounts.size(), 1u);
  EXPECT_EQ(request.job.mounts[0].lower, (Paths{"/staged", "/layer/app"}));
  EXPECT_EQ(request.job.collect, Paths{"/app"});
  request.job.cwd = "/";
  EXPECT_FALSE(add_work_layer(request, ""));
  RunRequest plain;
  ASSERT_TRUE(add_work_layer(plain, ""));
  EXPECT_TRUE(plain.job.mounts.empty());
}

TEST_F(WorkLayer, copies_are_given_to_a_user_who_is_not_root) {
  if (!read_host_facts().privileged && ::geteuid() == 0) GTEST_SKIP() << "this root may not give files away";
  fs::create_symlink("file", in("a/app/link"));
  std::ofstream(in("a/app/file")) << "x";
  fs::permissions(in("a/app/file"), fs::perms(0640));
  ASSERT_TRUE(give_to({0, 0}, in("a")));
  struct stat info{};
  ASSERT_EQ(::lstat(in("a/app/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, ::geteuid()) << "root's as they are";
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  ASSERT_TRUE(give_to({1000, 1001}, in("a")));
  for (const char* name : {"a", "a/app", "a/app/sub", "a/app/file", "a/app/link"}) {
    ASSERT_EQ(::lstat(in(name).c_str(), &info), 0);
    if (::geteuid() == 0) {
      EXPECT_EQ(info.st_uid, 1000u) << name;
      EXPECT_EQ(info.st_gid, 1001u) << name;
    } else if (!S_ISLNK(info.st_mode)) {
      EXPECT_EQ((info.st_mode & 07), (info.st_mode & 0700) >> 6) << name;
    }
  }
}

}  // namespace
}  // namespace casemate
