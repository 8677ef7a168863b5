#include "image/workshop.h"

#include <set>
#include <string>

#include "store_scratch.h"

namespace casemate {
namespace {

class Workshops : public StoreScratch {
 protected:
  // A build in `domain` that leaves a file of ten bytes in the cache; where that was.
  static std::string build(Store& store, const std::string& domain) {
    const auto shop = Workshop::shared(store, domain);
    EXPECT_TRUE(shop) << shop.error().what;
    spill((*shop)->path() + "/cache/wheel", "0123456789");
    return (*shop)->path();
  }
};

TEST_F(Workshops, each_image_has_a_cache_of_its_own) {
  Store store = open();
  const std::string host = build(store, "");
  EXPECT_EQ(host, store.directory() + "/uv");
  const std::string first = build(store, "image sha256:1");
  const std::string second = build(store, "image sha256:2");
  EXPECT_EQ((std::set<std::string>{host, first, second}).size(), 3u);
  EXPECT_EQ(build(store, "image sha256:1"), first);
  EXPECT_EQ(look_at_installer_cache(store)->bytes, 30u);
  const auto cleared = clear_installer_cache(store);
  ASSERT_TRUE(cleared) << cleared.error().what;
  EXPECT_TRUE(cleared->cleared);
  EXPECT_EQ(cleared->bytes, 30u);
  for (const std::string& path : {host, first, second}) EXPECT_FALSE(fs::exists(path + "/cache")) << path;
}

TEST_F(Workshops, only_so_many_images_keep_a_cache) {
  Store store = open();
  const std::string host = build(store, "");
  std::vector<std::string> images;
  for (int i = 0; i < 8; ++i) {
    images.push_back(build(store, "image " + std::to_string(i)));
    set_age(images.back() + "/lock", 100 - i);
  }
  set_age(host + "/lock", 1000);
  const auto held = Workshop::shared(store, "image 1");  // used again
  ASSERT_TRUE(held);
  set_age(images[1] + "/lock", 99);
  build(store, "image 8");
  EXPECT_FALSE(fs::exists(images[0] + "/cache"));
  for (int i = 1; i < 8; ++i) EXPECT_TRUE(fs::exists(images[i] + "/cache")) << i;
  build(store, "image 9");
  EXPECT_TRUE(fs::exists(images[1] + "/cache/wheel")) << "somebody builds with it";
  EXPECT_TRUE(fs::exists(host + "/cache/wheel"));
}

TEST_F(Workshops, a_cache_in_use_is_not_cleared) {
  Store store = open();
  build(store, "image 1");
  const auto held = Workshop::shared(store, "image 2");
  ASSERT_TRUE(held);
  const auto cleared = clear_installer_cache(store);
  ASSERT_TRUE(cleared);
  EXPECT_FALSE(cleared->cleared);
  EXPECT_TRUE(fs::exists((*held)->path() + "/cache"));
}

}  // namespace
}  // namespace casemate
