#include "store/store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/tree.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

const std::string kKey(64, 'a');
const std::string kOtherKey(64, 'b');

std::string slurp(const std::string& path) { return read_file(path).value_or("(unreadable)"); }
void spill(const std::string& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

Result<void> fill_small(const std::string& directory) {
  fs::create_directories(directory + "/lib/python");
  spill(directory + "/lib/python/module.py", "print('hello')\n");
  fs::create_symlink("python/module.py", directory + "/lib/link");
  return {};
}

std::size_t count(const std::string& directory) {
  std::error_code ignored;
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory, ignored), fs::directory_iterator()));
}

void set_age(const std::string& path, int seconds) {
  const timespec then{::time(nullptr) - seconds, 0};
  const timespec times[2] = {then, then};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("CASEMATE_CACHE_SIZE");
    char name[] = "/tmp/casemate-store-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }

  Store open(std::uint64_t max_bytes = 20ull << 30) {
    auto store = Store::open({directory_, max_bytes});
    EXPECT_TRUE(store) << store.error().what;
    return std::move(*store);
  }
  std::string blob_path(const std::string& key) { return directory_ + "/blobs/sha256/" + key.substr(7, 2) + "/" + key.substr(9); }
  std::string layer_path(const std::string& key) { return directory_ + "/layers/" + key; }

  // Runs `body` in a forked process, which ends with its result.
  template <class Body>
  pid_t in_child(const Body& body) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(body());
    return pid;
  }
  static int wait_for(pid_t pid) {
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
  }

  std::string directory_;
};

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

TEST_F(StoreTest, one_of_two_processes_fills_and_the_other_waits) {
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

TEST_F(StoreTest, threads_of_one_store_share_a_layer) {
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

TEST_F(StoreTest, a_kill_at_any_moment_leaves_nothing_half) {
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

TEST_F(StoreTest, open_leaves_the_temp_directories_of_the_living_alone) {
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

TEST_F(StoreTest, evicts_the_least_recently_used_and_nothing_in_use) {
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

TEST_F(StoreTest, stays_within_its_size_by_itself) {
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

TEST_F(StoreTest, takes_its_size_from_the_environment) {
  ::setenv("CASEMATE_CACHE_SIZE", "3k", 1);
  EXPECT_EQ(open().max_bytes(), 3072u);
  ::setenv("CASEMATE_CACHE_SIZE", "plenty", 1);
  auto refused = Store::open({directory_});
  ::unsetenv("CASEMATE_CACHE_SIZE");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
  EXPECT_NE(refused.error().what.find("CASEMATE_CACHE_SIZE"), std::string::npos);
}

TEST_F(StoreTest, eviction_and_leases_race_without_a_wrong_answer) {
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

TEST_F(StoreTest, verify_finds_a_flipped_byte_in_a_layer) {
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

TEST_F(StoreTest, verify_finds_a_changed_file_before_it_has_seen_the_contents) {
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

TEST_F(StoreTest, verify_finds_a_damaged_blob) {
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

TEST_F(StoreTest, a_damaged_meta_json_makes_the_layer_anew) {
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

TEST_F(StoreTest, a_damaged_layer_in_use_is_not_torn_away) {
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

TEST_F(StoreTest, looks_a_layer_over_after_a_reboot) {
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

TEST_F(StoreTest, ignores_foreign_files) {
  Store store = open();
  const std::string key = store.put_blob("mine").value();
  {
    EXPECT_TRUE(store.make_layer(kKey, "mine", fill_small));
  }
  {
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

TEST_F(StoreTest, a_lock_file_removed_by_hand_does_not_give_two_makers) {
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

TEST(Tree, digests_see_what_they_should) {
  char name[] = "/tmp/casemate-tree-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string root = name;
  ASSERT_TRUE(fill_small(root));
  const auto contents = [&] { return summarize_tree(root, TreeDepth::contents).value().digest; };
  const auto metadata = [&] { return summarize_tree(root, TreeDepth::metadata).value().digest; };
  const std::string first = contents();
  EXPECT_EQ(first, contents());
  EXPECT_EQ(metadata(), metadata());
  ::chmod((root + "/lib/python/module.py").c_str(), 0640);
  EXPECT_NE(contents(), first);
  ::chmod((root + "/lib/python/module.py").c_str(), 0644);
  spill(root + "/lib/\xff\n", "");
  EXPECT_NE(contents(), first);
  fs::remove(root + "/lib/\xff\n");
  fs::remove(root + "/lib/link");
  fs::create_symlink("python/other.py", root + "/lib/link");
  EXPECT_NE(contents(), first);
  EXPECT_TRUE(remove_tree(root));
  EXPECT_TRUE(remove_tree(root)) << "nothing there";
}

TEST(Tree, holes_cost_nothing_and_equal_zeros) {
  char name[] = "/tmp/casemate-tree-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string root = name;
  const auto digest = [&] { return summarize_tree(root, TreeDepth::contents).value().digest; };
  spill(root + "/file", std::string(300'000, '\0'));
  const std::string zeros = digest();
  fs::remove(root + "/file");
  spill(root + "/file", "");
  ASSERT_EQ(::truncate((root + "/file").c_str(), 300'000), 0);
  EXPECT_EQ(digest(), zeros);
  ASSERT_EQ(::truncate((root + "/file").c_str(), 1ll << 40), 0);
  const TreeSummary giant = summarize_tree(root, TreeDepth::contents).value();
  EXPECT_LE(giant.bytes, 1u << 20);
  EXPECT_NE(giant.digest, zeros);
  EXPECT_TRUE(remove_tree(root));
}

}  // namespace
}  // namespace casemate
