#include <algorithm>

#include "store_scratch.h"

namespace casemate {
namespace {

using Verification = StoreScratch;

TEST_F(Verification, verify_finds_a_flipped_byte_in_a_layer) {
  Store store = open();
  {
    EXPECT_TRUE(store.make_layer(kKey, "verified", fill_small));
  }
  EXPECT_TRUE(store.verify().value().empty());
  const std::string file = layer_path(kKey) + "/tree/lib/python/module.py";
  struct stat info{};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  spill(file, "print('hellO')\n");
  const timespec times[2] = {info.st_mtim, info.st_mtim};  // as a failing disk would: no trace in the metadata
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  const auto damages = store.verify().value();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].key, kKey);
  EXPECT_EQ(damages[0].what, "bytes of its files have changed");
  EXPECT_TRUE(damages[0].removed);
  EXPECT_FALSE(store.layer(kKey).value());
}

TEST_F(Verification, verify_finds_a_changed_file_before_it_has_seen_the_contents) {
  Store store = open();
  {
    EXPECT_TRUE(store.make_layer(kKey, "verified", fill_small));
  }
  const StoreLease other = store.make_layer(kOtherKey, "held", fill_small).value();
  EXPECT_TRUE(store.entries());  // their surveys are over
  spill(layer_path(kKey) + "/tree/lib/python/module.py", "print('hell')\n");
  spill(other.path() + "/extra", "");
  const auto damages = store.verify().value();
  ASSERT_EQ(damages.size(), 2u);
  for (const StoreDamage& damage : damages) EXPECT_EQ(damage.removed, damage.key == kKey) << "in use: left alone";
  EXPECT_TRUE(fs::exists(other.path()));
}

TEST_F(Verification, verify_finds_a_damaged_blob) {
  Store store = open();
  const std::string key = store.put_blob("precious").value();
  EXPECT_TRUE(store.verify().value().empty());
  ::chmod(blob_path(key).c_str(), 0644);
  spill(blob_path(key), "precioux");
  const auto damages = store.verify().value();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].kind, "blob");
  EXPECT_TRUE(damages[0].removed);
  EXPECT_FALSE(store.blob(key).value());
}

TEST_F(Verification, a_damaged_meta_json_makes_the_layer_anew) {
  Store store = open();
  const std::string too_late =
      R"({"version":1,"description":"","created":18446744073709551615,"bytes":1,"files":1,"manifest":"","boot":"b"})";
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"version\":1}"), std::string(100'000, '['), too_late}) {
    {
      EXPECT_TRUE(store.make_layer(kKey, "damaged", fill_small));
    }
    EXPECT_TRUE(store.entries());  // its survey is over
    spill(layer_path(kKey) + "/meta.json", text);
    EXPECT_FALSE(store.layer(kKey).value()) << text.substr(0, 20);
    EXPECT_FALSE(fs::exists(layer_path(kKey)));
  }
  bool created = false;
  {
    EXPECT_TRUE(store.make_layer(kKey, "damaged", fill_small));
  }
  EXPECT_TRUE(store.entries());  // its survey is over
  fs::remove(layer_path(kKey) + "/meta.json");
  EXPECT_TRUE(store.make_layer(kKey, "damaged", fill_small, &created));
  EXPECT_TRUE(created);
}

TEST_F(Verification, a_damaged_layer_in_use_is_not_torn_away) {
  Store store = open();
  const StoreLease lease = store.make_layer(kKey, "damaged", fill_small).value();
  EXPECT_TRUE(store.entries());  // its survey is over
  spill(layer_path(kKey) + "/meta.json", "garbage");
  EXPECT_FALSE(store.layer(kKey).value());
  auto again = store.make_layer(kKey, "damaged", fill_small);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::corrupt);
  EXPECT_EQ(slurp(lease.path() + "/lib/link"), "print('hello')\n");
}

TEST_F(Verification, looks_a_layer_over_after_a_reboot) {
  Store store = open();
  const auto reboot = [&] {
    EXPECT_TRUE(store.entries());  // its survey is over
    const std::string meta = layer_path(kKey) + "/meta.json";
    std::string text = slurp(meta);
    const std::size_t at = text.find("\"boot\":\"") + 8;
    text.replace(at, text.find('"', at) - at, "another-boot");
    spill(meta, text);
  };
  {
    EXPECT_TRUE(store.make_layer(kKey, "rebooted", fill_small));
  }
  reboot();
  EXPECT_TRUE(store.layer(kKey).value());
  EXPECT_TRUE(fs::exists(layer_path(kKey) + "/settled"));
  EXPECT_TRUE(store.prune(0));

  {
    EXPECT_TRUE(store.make_layer(kKey, "rebooted", fill_small));
  }
  reboot();
  ASSERT_EQ(::truncate((layer_path(kKey) + "/tree/lib/python/module.py").c_str(), 0), 0);  // as a power loss does
  EXPECT_FALSE(store.layer(kKey).value());
  EXPECT_FALSE(fs::exists(layer_path(kKey)));
}

}  // namespace
}  // namespace casemate
