#include "store/store.h"

#include "base/digest.h"

#include "store_scratch.h"

namespace casemate {
namespace {

using StoreTest = StoreScratch;

TEST_F(StoreTest, keeps_a_blob_under_the_digest_of_its_bytes) {
  Store store = open();
  const std::string key = store.put_blob("some bytes").value();
  EXPECT_EQ(key, "sha256:" + sha256_hex("some bytes"));
  auto lease = store.blob(key, true).value();
  ASSERT_TRUE(lease);
  EXPECT_EQ(slurp(lease->path()), "some bytes");
  EXPECT_EQ(count(directory_ + "/tmp"), 0u);
}

TEST_F(StoreTest, does_not_write_a_blob_twice) {
  Store store = open();
  const std::string key = store.put_blob("twice").value();
  struct stat before{}, after{};
  ASSERT_EQ(::stat(blob_path(key).c_str(), &before), 0);
  EXPECT_EQ(store.put_blob("twice").value(), key);
  ASSERT_EQ(::stat(blob_path(key).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(StoreTest, takes_a_blob_from_a_file_wherever_its_offset_is) {
  Store store = open();
  spill(directory_ + "/input", std::string(1'000'000, 'x'));
  const UniqueFd fd = open_file(directory_ + "/input", O_RDONLY).value();
  ::lseek(fd.get(), 77, SEEK_SET);
  const std::string key = store.put_blob_of_fd(fd.get()).value();
  EXPECT_EQ(key, "sha256:" + sha256_hex(std::string(1'000'000, 'x')));
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 77);
  EXPECT_FALSE(store.put_blob_of_fd(-1));
}

TEST_F(StoreTest, tells_a_missing_blob_from_a_bad_key) {
  Store store = open();
  EXPECT_FALSE(store.blob("sha256:" + std::string(64, '0')).value());
  EXPECT_EQ(count(directory_ + "/locks"), 0u) << "asking leaves no trace";
  for (const std::string& key : {std::string(), std::string("sha256:../../etc"), "sha256:" + std::string(64, 'A'), std::string(64, '0')}) {
    auto refused = store.blob(key);
    ASSERT_FALSE(refused) << key;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
  }
}

TEST_F(StoreTest, finds_a_flipped_byte_in_a_blob_and_removes_it) {
  Store store = open();
  const std::string key = store.put_blob("precious").value();
  ::chmod(blob_path(key).c_str(), 0644);
  spill(blob_path(key), "precioux");
  EXPECT_TRUE(store.blob(key).value()) << "not asked to verify";
  auto damaged = store.blob(key, true);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::corrupt);
  EXPECT_FALSE(store.blob(key).value());
  EXPECT_EQ(store.put_blob("precious").value(), key);
  EXPECT_TRUE(store.blob(key, true).value());
}

TEST_F(StoreTest, makes_a_layer_once) {
  Store store = open();
  EXPECT_FALSE(store.layer(kKey).value());
  bool created = false;
  {
    const StoreLease lease = store.make_layer(kKey, "a layer", fill_small, &created).value();
    EXPECT_TRUE(created);
    EXPECT_EQ(slurp(lease.path() + "/lib/link"), "print('hello')\n");
  }
  const auto never = [](const std::string&) -> Result<void> { return fail(ErrorCode::internal, "filled twice"); };
  EXPECT_TRUE(store.make_layer(kKey, "a layer", never, &created).value());
  EXPECT_FALSE(created);
  ASSERT_TRUE(open().layer(kKey).value());
  EXPECT_TRUE(store.entries());  // its survey is over
  EXPECT_EQ(count(directory_ + "/tmp"), 0u);
}

TEST_F(StoreTest, keeps_nothing_of_a_failed_fill) {
  Store store = open();
  auto failed = store.make_layer(kKey, "a layer", [](const std::string& directory) -> Result<void> {
    TRY(fill_small(directory));
    return fail(ErrorCode::refused, "pip said no");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().what, "pip said no");
  EXPECT_FALSE(store.layer(kKey).value());
  for (const char* part : {"/tmp", "/locks", "/layers"}) EXPECT_EQ(count(directory_ + part), 0u) << part;
}

TEST_F(StoreTest, removes_read_only_and_very_deep_trees) {
  Store store = open();
  auto lease = store.make_layer(kKey, "deep", [](const std::string& directory) -> Result<void> {
    TRY(fill_small(directory));
    ::chmod((directory + "/lib/python").c_str(), 0500);
    ::chmod((directory + "/lib").c_str(), 0);
    UniqueFd at = open_file(directory, O_RDONLY | O_DIRECTORY).value();
    for (int level = 0; level < 600; ++level) {
      if (::mkdirat(at.get(), "d", 0700) < 0) return fail_errno("mkdir");
      at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (level == 100) ::fchmod(at.get(), 0700);
    }
    return {};
  });
  ASSERT_TRUE(lease);
  EXPECT_EQ(summarize_tree(lease->path(), TreeDepth::metadata).error().code, ErrorCode::invalid_input);
  lease = StoreLease();
  std::vector<Error> problems;
  EXPECT_TRUE(store.prune(0, &problems));
  EXPECT_TRUE(problems.empty()) << problems[0].what;
  EXPECT_EQ(count(directory_ + "/layers"), 0u);
  EXPECT_EQ(count(directory_ + "/tmp"), 0u);
}

TEST_F(StoreTest, completes_the_survey_that_a_killed_maker_owed) {
  Store store = open();
  {
    EXPECT_TRUE(store.make_layer(kKey, "surveyed", fill_small));
  }
  ASSERT_EQ(store.entries().value().at(0).bytes, 15u);
  const std::string meta = layer_path(kKey) + "/meta.json";
  std::string text = slurp(meta);
  text.replace(text.find("sha256:"), 7 + 64, "");
  text.replace(text.find("\"bytes\":15"), 10, "\"bytes\":0");
  spill(meta, text);
  EXPECT_EQ(store.entries().value().at(0).bytes, 0u);
  EXPECT_TRUE(store.layer(kKey).value());
  EXPECT_EQ(store.entries().value().at(0).bytes, 15u);
  EXPECT_NE(slurp(meta).find("sha256:"), std::string::npos);
}

TEST_F(StoreTest, ignores_foreign_files) {
  std::string key;
  {  // its end waits for the thread that counts the layer's files, which holds the layer meanwhile
    Store store = open();
    key = store.put_blob("mine").value();
    EXPECT_TRUE(store.make_layer(kKey, "mine", fill_small));
    auto temp = store.make_temp();
  }
  for (const char* path :
       {"/README", "/layers/README", "/blobs/sha256/zz", "/blobs/sha256/00", "/tmp/notes", "/tmp/12.lock", "/locks/layer-x"})
    spill(directory_ + path, "x");
  fs::create_directories(directory_ + "/layers/not-a-key/tree");
  fs::create_directories(directory_ + "/tmp/1.2.3");
  spill(blob_path(key).substr(0, blob_path(key).rfind('/')) + "/foreign", "x");
  Store again = open();
  EXPECT_EQ(again.entries().value().size(), 2u);
  EXPECT_TRUE(again.verify().value().empty());
  EXPECT_TRUE(again.prune(0));
  EXPECT_EQ(again.entries().value().size(), 0u);
  EXPECT_EQ(slurp(directory_ + "/tmp/notes"), "x");
  EXPECT_TRUE(fs::exists(directory_ + "/tmp/1.2.3"));
  EXPECT_TRUE(fs::exists(directory_ + "/layers/not-a-key"));
}

TEST_F(StoreTest, says_which_variable_to_set) {
  spill(directory_ + "/file", "");
  auto refused = Store::open({directory_ + "/file/cache"});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("CASEMATE_CACHE_DIR"), std::string::npos) << refused.error().what;
  ::chmod(directory_.c_str(), 0777);
  refused = Store::open({directory_});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::refused);
  EXPECT_NE(refused.error().what.find("CASEMATE_CACHE_DIR"), std::string::npos) << refused.error().what;
  ::chmod(directory_.c_str(), 0700);
}

TEST_F(StoreTest, makes_its_directory_and_works_without_its_subdirectories) {
  const std::string deep = directory_ + "/a/b/c";
  Store store = Store::open({deep}).value();
  struct stat info{};
  ASSERT_EQ(::stat(deep.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_TRUE(store.put_blob("x"));
  for (const char* part : {"/tmp", "/blobs", "/locks", "/layers"}) fs::remove_all(deep + part);
  EXPECT_TRUE(store.put_blob("x"));
  fs::remove_all(deep + "/tmp");
  EXPECT_TRUE(store.make_layer(kKey, "x", fill_small));
  EXPECT_TRUE(store.entries());  // its survey is over
  fs::remove_all(deep + "/tmp");
  EXPECT_TRUE(store.prune(0));
  EXPECT_TRUE(store.entries().value().empty());
}

}  // namespace
}  // namespace casemate
