#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "store_scratch.h"

namespace casemate {
namespace {

using Eviction = StoreScratch;

TEST_F(Eviction, evicts_the_least_recently_used_and_nothing_in_use) {
  Store store = open();
  const std::string held = store.put_blob(std::string(1000, 'h')).value();
  const std::string old = store.put_blob(std::string(1000, 'o')).value();
  const std::string fresh = store.put_blob(std::string(1000, 'f')).value();
  set_age(blob_path(held), 300);
  set_age(blob_path(old), 200);
  set_age(blob_path(fresh), 100);
  auto lease = store.blob(held).value();
  set_age(blob_path(held), 300);
  const StoreLease layer = store.make_layer(kKey, "held", fill_small).value();
  set_age(layer_path(kKey) + "/meta.json", 400);

  auto entries = store.entries().value();
  EXPECT_EQ(std::count_if(entries.begin(), entries.end(), [](const StoreEntry& entry) { return entry.in_use; }), 2);
  EXPECT_EQ(store.prune(2100).value(), 1000u);
  EXPECT_FALSE(store.blob(old).value());
  EXPECT_TRUE(store.blob(fresh).value());
  // Another process may not take them either.
  const pid_t pid = in_child([&] {
    auto other = Store::open({directory_});
    return other && other->prune(0) ? 0 : 1;
  });
  EXPECT_EQ(wait_for(pid), 0);
  EXPECT_EQ(slurp(lease->path()), std::string(1000, 'h'));
  EXPECT_EQ(slurp(layer.path() + "/lib/link"), "print('hello')\n");
  lease.reset();
  EXPECT_EQ(store.prune(0).value(), 1000u);
  EXPECT_TRUE(fs::exists(layer.path()));
}

TEST_F(Eviction, stays_within_its_size_by_itself) {
  Store store = open(10'000);
  for (int i = 0; i < 50; ++i) {
    const std::string key = store.put_blob(std::string(1000, static_cast<char>('A' + i))).value();
    set_age(blob_path(key), 1000 - i);
  }
  std::uint64_t sum = 0;
  const auto entries = store.entries().value();
  for (const StoreEntry& entry : entries) sum += entry.bytes;
  EXPECT_LE(sum, 10'000u);
  EXPECT_GE(sum, 8'000u);
  EXPECT_TRUE(store.blob("sha256:" + sha256_hex(std::string(1000, static_cast<char>('A' + 49)))).value());
}

TEST_F(Eviction, takes_its_size_from_the_environment) {
  ::setenv("CASEMATE_CACHE_SIZE", "3k", 1);
  EXPECT_EQ(open().max_bytes(), 3072u);
  ::setenv("CASEMATE_CACHE_SIZE", "plenty", 1);
  auto refused = Store::open({directory_});
  ::unsetenv("CASEMATE_CACHE_SIZE");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
  EXPECT_NE(refused.error().what.find("CASEMATE_CACHE_SIZE"), std::string::npos);
}

TEST_F(Eviction, eviction_and_leases_race_without_a_wrong_answer) {
  const auto user = [&] {
    auto store = Store::open({directory_});
    if (!store) return 1;
    for (int i = 0; i < 150; ++i) {
      auto lease = store->make_layer(kKey, "raced", fill_small);
      if (!lease) return 2;
      if (slurp(lease->path() + "/lib/link") != "print('hello')\n") return 3;
      auto key = store->put_blob("raced blob");
      if (!key) return 4;
      auto blob = store->blob(*key, true);
      if (!blob) return 5;
      if (*blob && slurp((*blob)->path()) != "raced blob") return 6;
    }
    return 0;
  };
  const auto evictor = [&] {
    auto store = Store::open({directory_});
    for (int i = 0; store && i < 300; ++i) {
      if (!store->prune(0)) return 1;
    }
    return 0;
  };
  const pid_t pids[] = {in_child(user), in_child(user), in_child(evictor), in_child(evictor)};
  for (const pid_t pid : pids) {
    const int status = wait_for(pid);
    EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  }
  EXPECT_EQ(count(directory_ + "/tmp"), 0u);
}

}  // namespace
}  // namespace casemate
