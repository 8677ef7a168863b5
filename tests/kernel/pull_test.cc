// Images that lie on disk become images of the store: layouts, and what the store does with layers.
#include "image/pull.h"

#include <sched.h>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "image/layer_cache.h"
#include "pull_scratch.h"

namespace casemate {
namespace {

class PullLayout : public PullScratch {};

std::string tar_of(const std::string& name, const std::string& content) { return LayerTar().file(name, content).bytes(); }

TEST_F(PullLayout, its_layers_are_unpacked_once) {
  const std::string image = image_of("image", {tar_of("one", "1"), tar_of("two", "2")});
  Store kept = store();
  const ReadyImage first = pulled(kept, image);
  EXPECT_FALSE(first.cached);
  ASSERT_EQ(first.layers.size(), 2u);
  EXPECT_EQ(read(first.layers[0].path() + "/one"), "1");
  EXPECT_EQ(read(first.layers[1].path() + "/two"), "2");
  EXPECT_EQ(first.image.config.env, std::vector<std::string>{"NAME=value"});
  const ReadyImage again = pulled(kept, image);
  EXPECT_TRUE(again.cached);
  EXPECT_EQ(again.layers[1].path(), first.layers[1].path());
  EXPECT_EQ(again.image.pulled, first.image.pulled);

  // Another image with the same base has it by the same directory.
  const ReadyImage other = pulled(kept, image_of("other", {tar_of("one", "1"), tar_of("three", "3")}));
  EXPECT_FALSE(other.cached);
  EXPECT_EQ(other.layers[0].path(), first.layers[0].path());
}

TEST_F(PullLayout, what_is_on_record_outlives_the_directory) {
  const std::string image = image_of("image", {tar_of("one", "1")});
  Store kept = store();
  PullOptions never;
  never.policy = PullOptions::Policy::never;
  EXPECT_NE(refusal(kept, image, ErrorCode::not_found, never).find("casemate image pull"), std::string::npos);
  pulled(kept, image);
  fs::remove_all(top_ / "image");
  const ReadyImage ready = pulled(kept, image, never);
  EXPECT_TRUE(ready.cached);
  EXPECT_EQ(file_of(ready, "one"), "1");
  refusal(kept, image, ErrorCode::not_found);
  const auto listed = list_images(kept);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(to_text((*listed)[0].reference), image);
  const auto found = find_image(kept, reference(image));
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->layers[0].key, (*listed)[0].layers[0].key);
}

TEST_F(PullLayout, a_changed_directory_is_another_image) {
  const std::string image = image_of("image", {tar_of("one", "1")});
  Store kept = store();
  const ReadyImage before = pulled(kept, image);
  image_of("image", {tar_of("one", "changed")});
  const ReadyImage after = pulled(kept, image);
  EXPECT_FALSE(after.cached);
  EXPECT_NE(after.image.digest, before.image.digest);
  EXPECT_EQ(file_of(after, "one"), "changed");
  EXPECT_EQ(list_images(kept)->size(), 1u);
}

TEST_F(PullLayout, a_damaged_record_counts_as_absent) {
  const std::string image = image_of("image", {tar_of("one", "1")});
  Store kept = store();
  pulled(kept, image);
  for (const auto& entry : fs::directory_iterator(top_ / "store/images")) write(entry.path(), "{\"version\":1");
  EXPECT_FALSE(*find_image(kept, reference(image)));
  EXPECT_TRUE(list_images(kept)->empty());
  EXPECT_TRUE(pulled(kept, image).cached);
  EXPECT_TRUE(*find_image(kept, reference(image)));
}

TEST_F(PullLayout, a_layer_that_is_not_what_the_config_says_is_refused_and_nothing_stays) {
  const std::string image = image_of("image", {tar_of("one", "1"), tar_of("two", "2")});
  const auto layout = ImageLayout::open(top_ / "image");
  const auto read_image = layout->image(reference(image));
  ASSERT_TRUE(read_image);
  std::string bytes = read(top_ / "image" / read_image->layers[1].path);
  bytes[bytes.size() - 20] = static_cast<char>(bytes[bytes.size() - 20] ^ 1);
  write(top_ / "image" / read_image->layers[1].path, bytes);
  Store kept = store();
  const std::string why = refusal(kept, image, ErrorCode::corrupt);
  EXPECT_NE(why.find(image), std::string::npos) << why;
  EXPECT_NE(why.find("layer 2 of 2"), std::string::npos) << why;
  EXPECT_TRUE(list_images(kept)->empty());
  expect_tidy(kept);
}

TEST_F(PullLayout, an_opaque_root_hides_the_layers_below_also_when_the_store_has_it) {
  const std::string opaque = LayerTar().whiteout(".wh..wh..opq").file("top", "new").bytes();
  const std::string image = image_of("image", {tar_of("old", "1"), opaque, tar_of("last", "3")});
  Store kept = store();
  if (::setxattr((top_ / "image").c_str(), "user.test", "x", 1, 0) < 0) GTEST_SKIP() << "no user xattrs here";
  for (const bool cached : {false, true}) {
    const ReadyImage ready = pulled(kept, image);
    EXPECT_EQ(ready.cached, cached);
    ASSERT_EQ(ready.layers.size(), 2u);
    EXPECT_EQ(file_of(ready, "top"), "new");
    EXPECT_EQ(file_of(ready, "old"), "(missing)");
    EXPECT_EQ(ready.image.layers.size(), 3u);
  }
}

TEST_F(PullLayout, a_layer_that_comes_twice_is_there_once) {
  const std::string same = tar_of("one", "1");
  Store kept = store();
  const ReadyImage ready = pulled(kept, image_of("image", {same, tar_of("one", "2"), same}));
  ASSERT_EQ(ready.layers.size(), 2u);
  EXPECT_EQ(file_of(ready, "one"), "1");
  EXPECT_EQ(ready.image.layers.size(), 3u);
}

TEST_F(PullLayout, an_image_without_layers_is_one) {
  Store kept = store();
  const ReadyImage ready = pulled(kept, image_of("image", {}));
  EXPECT_TRUE(ready.layers.empty());
}

TEST_F(PullLayout, its_path_may_be_relative_and_a_link) {
  const std::string image = image_of("image", {tar_of("one", "1")});
  fs::create_symlink(top_ / "image", top_ / "link");
  Store kept = store();
  pulled(kept, image);
  EXPECT_TRUE(pulled(kept, "oci:" + (top_ / "link").string()).cached);
  EXPECT_TRUE(pulled(kept, "oci:" + fs::relative(top_ / "image").string()).cached);
  EXPECT_EQ(list_images(kept)->size(), 1u);
}

TEST_F(PullLayout, another_platform_is_told) {
  const std::string image = image_of("image", {tar_of("one", "1")});
  Store kept = store();
  PullOptions options;
  options.platform = {"linux", "riscv64", ""};
  EXPECT_NE(refusal(kept, image, ErrorCode::not_found, options).find("riscv64"), std::string::npos);
}

// As root in a container has it: all capabilities, but no ids for cells.
TEST_F(PullLayout, owners_are_flattened_where_cells_get_no_ids_of_their_own) {
  const uid_t uid = ::geteuid();
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER) < 0) ::_exit(3);
    const auto map = open_file("/proc/self/uid_map", O_WRONLY);
    if (!map || !write_all(map->get(), fmt::format("0 {} 1", uid)) || ::geteuid() != 0) ::_exit(3);
    ::_exit(keeps_owners() ? 1 : 0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 3) GTEST_SKIP() << "no user namespaces here";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace casemate
