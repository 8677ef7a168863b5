#include "apps/cache/cache.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "action/digest_cache.h"
#include "said.h"
#include "session/kept_passes.h"
#include "store/store.h"
#include "store/tree.h"
#include "sys/fd.h"

namespace casemate {
namespace {

const std::string kKey(64, 'a');

Said cache(const std::vector<std::string>& arguments) { return said_by(cache_main, arguments); }

class CacheApp : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-cache-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    ::setenv("CASEMATE_CACHE_DIR", name, 1);
    ::unsetenv("CASEMATE_CACHE_SIZE");
    Store store = Store::open().value();
    blob_ = store.put_blob(std::string(2048, 'b')).value();
    ASSERT_TRUE(store.make_layer(kKey, "environment: \x1b[31mpandas", [](const std::string& directory) -> Result<void> {
      std::ofstream(directory + "/file") << "content";
      return {};
    }));
  }
  void TearDown() override {
    ::unsetenv("CASEMATE_CACHE_DIR");
    EXPECT_TRUE(remove_tree(directory_));
  }
  std::string directory_;
  std::string blob_;
};

TEST_F(CacheApp, info_sums_up) {
  const Said said = cache({"info"});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.out.find(directory_), std::string::npos);
  EXPECT_NE(said.out.find("layers     1, 7 B, 0 in use"), std::string::npos) << said.out;
  const auto json = cache({"info", "--json"}).json();
  EXPECT_EQ(json["bytes"], 2048 + 7);
  EXPECT_EQ(json["blobs"]["count"], 1);
  EXPECT_EQ(json["max_bytes"], 20ull << 30);
}

TEST_F(CacheApp, list_shows_each_entry_safely) {
  const Said said = cache({"list"});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.out.find("environment: \\x1b[31mpandas"), std::string::npos) << said.out;
  EXPECT_EQ(said.out.find('\x1b'), std::string::npos) << "no terminal, no colour";
  EXPECT_NE(cache({"list", "--color", "always"}).out.find("\x1b[1m"), std::string::npos);
  const auto json = cache({"--json", "list"}).json();
  ASSERT_EQ(json.size(), 2u);
  EXPECT_TRUE(json[0]["key"] == kKey || json[1]["key"] == kKey);
}

TEST_F(CacheApp, prune_keeps_what_fits_and_what_is_used) {
  Store store = Store::open().value();
  auto lease = store.layer(kKey).value();
  Said said = cache({"prune", "--max-size", "1M", "--json"});
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.json()["freed_bytes"], 0);
  said = cache({"prune"});
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out, "freed 2.0 KiB, 7 B left in 1 entry\n");
  lease.reset();
  EXPECT_EQ(cache({"prune"}).out, "freed 7 B, 0 B left in 0 entries\n");
}

// What uv leaves behind, one file of it shared with a layer as uv does it.
void fill_uv_cache(const std::string& directory) {
  std::filesystem::create_directories(directory + "/uv/cache/archive-v0/x");
  std::ofstream(directory + "/uv/cache/archive-v0/x/module.py") << std::string(1000, 'u');
  std::filesystem::create_hard_link(directory + "/layers/" + kKey + "/tree/file", directory + "/uv/cache/archive-v0/x/shared");
}

TEST_F(CacheApp, the_cache_of_uv_is_shown_and_removed) {
  EXPECT_EQ(cache({"info"}).out.find("uv cache"), std::string::npos) << "there is none yet";
  fill_uv_cache(directory_);
  EXPECT_NE(cache({"info"}).out.find("uv cache   1007 B, not in the size above"), std::string::npos) << cache({"info"}).out;
  EXPECT_EQ(cache({"info", "--json"}).json()["installer_cache_bytes"], 1007);
  EXPECT_EQ(cache({"info", "--json"}).json()["bytes"], 2048 + 7);
  Said said = cache({"prune", "--max-size", "4K", "--json"});
  EXPECT_EQ(said.json()["installer_cache_cleared_bytes"], 0) << "all of it fits";
  said = cache({"prune", "--max-size", "3000"});
  EXPECT_EQ(said.out, "freed 0 B, 2.0 KiB left in 2 entries\nuv cache of 1007 B removed\n");
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/uv/cache"));
  EXPECT_EQ(cache({"verify"}).out, "all sound\n");
  EXPECT_EQ(cache({"prune"}).out, "freed 2.0 KiB, 0 B left in 0 entries\n");
}

TEST_F(CacheApp, what_only_spares_work_is_shown_and_removed) {
  auto none = cache({"info", "--json"}).json();
  EXPECT_EQ(none["passes"], (nlohmann::json{{"files", 0}, {"bytes", 0}}));
  EXPECT_EQ(cache({"info"}).out.find("passes"), std::string::npos) << "there are none yet";
  const KeptPasses passes(directory_);
  passes.add("of one digest", {{"test_a.py::test_a", KeptPass{}}});
  passes.add("of another", {{"test_a.py::test_a", KeptPass{}}});
  digest_files(directory_).write("a", std::string(1024 - 64, 'd'));  // with its own digest a KiB
  const std::string said = cache({"info"}).out;
  EXPECT_NE(said.find("passes     2 files, "), std::string::npos) << said;
  EXPECT_NE(said.find("digests    1 file, 1.0 KiB, not in the size above: "), std::string::npos) << said;
  EXPECT_EQ(said.find("inputs"), std::string::npos) << said;
  const auto told = cache({"info", "--json"}).json();
  EXPECT_EQ(told["bytes"], 2048 + 7);
  EXPECT_EQ(told["passes"]["files"], 2);
  EXPECT_EQ(told["inputs"]["files"], 0);
  EXPECT_EQ(told["digests"], (nlohmann::json{{"files", 1}, {"bytes", 1024}}));

  const auto list = cache({"list", "--json"}).json();
  ASSERT_EQ(list.size(), 4u);
  const auto digests = std::find_if(list.begin(), list.end(), [](const auto& entry) { return entry["kind"] == "digests"; });
  ASSERT_NE(digests, list.end());
  EXPECT_EQ((*digests)["key"], "digests");
  EXPECT_EQ((*digests)["bytes"], 1024);
  EXPECT_GT((*digests)["last_used"], 1'700'000'000);
  EXPECT_EQ((*digests)["description"], "1 file: spares reading files that have not changed");
  EXPECT_NE(cache({"list"}).out.find("2 files: tests that 'pytest --cache' does not run again"), std::string::npos);

  const std::uint64_t all = told["passes"]["bytes"].get<std::uint64_t>() + 1024 + 2048 + 7;
  EXPECT_EQ(cache({"prune", "--max-size", "1M", "--json"}).json()["freed_bytes"], 0);
  EXPECT_EQ(cache({"prune", "--json"}).json()["freed_bytes"], all);
  EXPECT_EQ(cache({"info", "--json"}).json()["passes"]["files"], 0);
}

TEST_F(CacheApp, the_cache_of_uv_is_left_to_who_builds_with_it) {
  fill_uv_cache(directory_);
  std::filesystem::create_directories(directory_ + "/uv/bench-1-0");
  const auto bench = open_file(directory_ + "/uv/bench-1-0", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(bench);
  ASSERT_EQ(::flock(bench->get(), LOCK_EX | LOCK_NB), 0);
  const Said said = cache({"prune"});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("uv cache of 1007 B left alone"), std::string::npos) << said.out;
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/uv/cache"));
}

TEST_F(CacheApp, verify_tells_of_damage_by_its_exit_code) {
  Said said = cache({"verify"});
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out, "all sound\n");
  const std::string path = directory_ + "/blobs/sha256/" + blob_.substr(7, 2) + "/" + blob_.substr(9);
  ::chmod(path.c_str(), 0644);
  std::ofstream(path) << "flipped";
  said = cache({"verify", "--json"});
  EXPECT_EQ(said.code, 1);
  EXPECT_EQ(said.json()["sound"], false);
  EXPECT_EQ(said.json()["damaged"][0]["key"], blob_);
  EXPECT_EQ(said.json()["damaged"][0]["removed"], true);
  EXPECT_EQ(cache({"verify"}).code, 0);
}

TEST_F(CacheApp, verify_removes_records_of_images_that_have_changed) {
  std::filesystem::create_directory(directory_ + "/images");
  std::ofstream(directory_ + "/images/0123.json") << "{\"version\":1}\n";
  const Said said = cache({"verify", "--json"});
  EXPECT_EQ(said.code, 1);
  EXPECT_EQ(said.json()["damaged"][0]["kind"], "image");
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/images/0123.json"));
  EXPECT_EQ(cache({"verify"}).code, 0);
}

TEST_F(CacheApp, wrong_usage_is_one_line_and_125) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"nonsense"},
                                                    {"info", "--nonsense"},
                                                    {"prune", "--max-size", "lots"},
                                                    {"list", "--color", "pink"},
                                                    {"prune", "--max-size"}}) {
    const Said said = cache(arguments);
    EXPECT_EQ(said.code, 125);
    EXPECT_EQ(said.out, "");
    EXPECT_TRUE(said.err.starts_with("casemate cache: ")) << said.err;
    EXPECT_EQ(std::count(said.err.begin(), said.err.end(), '\n'), 1) << said.err;
  }
  const Said help = cache({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("casemate cache prune --max-size 5G"), std::string::npos);
}

TEST_F(CacheApp, says_which_variable_to_set) {
  std::ofstream(directory_ + "/file") << "";
  ::setenv("CASEMATE_CACHE_DIR", (directory_ + "/file/x").c_str(), 1);
  const Said said = cache({"info"});
  EXPECT_EQ(said.code, 125);
  EXPECT_NE(said.err.find("CASEMATE_CACHE_DIR"), std::string::npos) << said.err;
}

}  // namespace
}  // namespace casemate
