// One store, several processes and threads, and those that are killed.
#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>
#include <vector>

#include "store_scratch.h"

namespace casemate {
namespace {

using StoreSharing = StoreScratch;

TEST_F(StoreSharing, one_of_two_processes_fills_and_the_other_waits) {
  const std::string log = directory_ + "/fills";
  const auto racer = [&] {
    auto store = Store::open({directory_});
    if (!store) return 10;
    bool created = false;
    auto lease = store->make_layer(
        kKey, "raced",
        [&](const std::string& directory) -> Result<void> {
          const UniqueFd fd(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
          TRY(write_all(fd.get(), "x"));
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          return fill_small(directory);
        },
        &created);
    if (!lease || slurp(lease->path() + "/lib/link") != "print('hello')\n") return 11;
    return created ? 1 : 0;
  };
  for (int round = 0; round < 5; ++round) {
    fs::remove(log);
    pid_t racers[4];
    for (pid_t& pid : racers) pid = in_child(racer);
    int made = 0;
    for (const pid_t pid : racers) {
      const int status = wait_for(pid);
      ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2) << status;
      made += WEXITSTATUS(status);
    }
    EXPECT_EQ(made, 1);
    EXPECT_EQ(slurp(log), "x");
    EXPECT_TRUE(open().prune(0));
    EXPECT_EQ(count(directory_ + "/layers"), 0u);
  }
}

TEST_F(StoreSharing, threads_of_one_store_share_a_layer) {
  Store store = open();
  std::atomic<int> fills = 0, failures = 0, told = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto lease = store.make_layer(
          kKey, "shared",
          [&](const std::string& directory) {
            ++fills;
            while (told == 0) std::this_thread::yield();  // so that somebody is made to wait
            return fill_small(directory);
          },
          nullptr, [&] { ++told; });
      if (!lease) ++failures;
    });
  }
  threads.clear();
  EXPECT_EQ(fills, 1);
  EXPECT_EQ(failures, 0);
  EXPECT_GE(told, 1);
}

TEST_F(StoreSharing, a_kill_at_any_moment_leaves_nothing_half) {
  std::mt19937 random(7);
  for (int round = 0; round < 25; ++round) {
    const pid_t pid = in_child([&] {
      auto store = Store::open({directory_});
      if (!store) return 1;
      for (int i = 0;; ++i) {
        static_cast<void>(store->put_blob("blob " + std::to_string(i)));
        static_cast<void>(store->make_layer(kKey, "killed", [](const std::string& directory) -> Result<void> {
          for (int file = 0; file < 20; ++file) spill(directory + "/" + std::to_string(file), "content");
          ::chmod(directory.c_str(), 0555);
          return {};
        }));
        static_cast<void>(store->prune(i % 2 == 0 ? 0 : 1000));
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 15'000));
    ::kill(pid, SIGKILL);
    wait_for(pid);
    Store store = open();
    EXPECT_EQ(count(directory_ + "/tmp"), 0u);
    EXPECT_EQ(store.verify().value().size(), 0u);
    {
      const auto lease = store.layer(kKey).value();
      EXPECT_EQ(lease ? count(lease->path()) : 20u, 20u);
    }
    EXPECT_TRUE(store.prune(0));
    EXPECT_EQ(store.entries().value().size(), 0u);
    EXPECT_EQ(count(directory_ + "/locks"), 0u);
  }
}

TEST_F(StoreSharing, open_leaves_the_temp_directories_of_the_living_alone) {
  Store store = open();
  auto temp = store.make_temp().value();
  spill(temp->path() + "/file", "x");
  Store other = open();
  EXPECT_EQ(slurp(temp->path() + "/file"), "x");
  const std::string path = temp->path();
  temp.reset();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(count(directory_ + "/tmp"), 0u);
}

TEST_F(StoreSharing, a_lock_file_removed_by_hand_does_not_give_two_makers) {
  Store store = open();
  bool created = false;
  auto lease = store.make_layer(
      kKey, "x",
      [&](const std::string& directory) {
        fs::remove_all(directory_ + "/locks");  // somebody tidies up
        return fill_small(directory);
      },
      &created);
  EXPECT_TRUE(lease);
  EXPECT_TRUE(store.layer(kKey).value());
}

}  // namespace
}  // namespace casemate
