// A store for a test, and what tests of it put in.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "store/tree.h"

namespace casemate {

namespace fs = std::filesystem;

inline const std::string kKey(64, 'a');
inline const std::string kOtherKey(64, 'b');

inline std::string slurp(const std::string& path) { return read_file(path).value_or("(unreadable)"); }
inline void spill(const std::string& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

inline Result<void> fill_small(const std::string& directory) {
  fs::create_directories(directory + "/lib/python");
  spill(directory + "/lib/python/module.py", "print('hello')\n");
  fs::create_symlink("python/module.py", directory + "/lib/link");
  return {};
}

inline std::size_t count(const std::string& directory) {
  std::error_code ignored;
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory, ignored), fs::directory_iterator()));
}

inline void set_age(const std::string& path, int seconds) {
  const timespec then{::time(nullptr) - seconds, 0};
  const timespec times[2] = {then, then};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

/// A store in a directory of the test's own.
class StoreScratch : public ::testing::Test {
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

}  // namespace casemate
