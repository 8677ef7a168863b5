// scratch: a directory for one test, and namespaces of its own for what a test mounts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sys/path.h"

namespace casemate {

namespace fs = std::filesystem;

inline void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

inline std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

inline int open_fds() { return static_cast<int>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator{})); }

/// A fixture with a new directory `top_`, open as `fd_`. In $TMPDIR, else on the tmpfs at /dev/shm (as the writable layers of cells are;
/// thousands of files cost seconds on some disks), else in /tmp. Removed by the code under test: a test that leaves something behind fails.
class Scratch : public testing::Test {
 protected:
  void SetUp() override {
    const bool shm = !std::getenv("TMPDIR") && ::access("/dev/shm", W_OK | X_OK) == 0;
    std::string name = (shm ? fs::path("/dev/shm") : fs::temp_directory_path()) / "casemate_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top_ = name;
    fd_ = UniqueFd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(fd_);
  }
  void TearDown() override {
    fd_.reset();
    const UniqueFd parent(::open(top_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto removed = remove_tree_at(parent.get(), top_.filename());
    EXPECT_TRUE(removed) << removed.error().what;
    EXPECT_FALSE(fs::exists(top_));
  }

  // A chain of `levels` directories called `name` with a file `bottom` at its end, made without ever having a long path.
  static void make_chain(int top, int levels, const std::string& name) {
    UniqueFd here(::dup(top));
    for (int i = 0; i < levels; ++i) {
      ASSERT_EQ(::mkdirat(here.get(), name.c_str(), 0755), 0) << std::strerror(errno) << " at level " << i;
      here = UniqueFd(::openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      ASSERT_TRUE(here);
    }
    const UniqueFd file(::openat(here.get(), "bottom", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_TRUE(file);
  }

  // Runs `body` in a child that may mount: in a mount namespace of its own and, as a user, in a user namespace as its root. `body` uses
  // EXPECT and ASSERT; its GTEST_SKIP skips the test.
  template <class Body>
  static void in_mount_namespace(Body body) {
    constexpr int kCannot = 77;
    constexpr int kSkipped = 78;
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    std::fflush(nullptr);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (::unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) < 0) ::_exit(kCannot);
      if (uid != 0) {
        write("/proc/self/setgroups", "deny");
        write("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
        write("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
      }
      if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) ::_exit(kCannot);
      try {
        body();
      } catch (const std::exception& exception) {  // must not unwind into the parent's run of all tests
        ADD_FAILURE() << exception.what();
      }
      std::fflush(nullptr);
      ::_exit(HasFailure() ? 1 : IsSkipped() ? kSkipped : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kCannot) GTEST_SKIP() << "mount namespaces can't be made here";
    if (WIFEXITED(status) && WEXITSTATUS(status) == kSkipped) GTEST_SKIP() << "see above";
    EXPECT_EQ(status, 0);
  }

  fs::path top_;
  UniqueFd fd_;
};

}  // namespace casemate
