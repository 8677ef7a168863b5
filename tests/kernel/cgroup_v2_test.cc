// The tests of cgroup_test.cc again on a real cgroup v2, also on hosts that have only v1: in a user-mode Linux.
#include <filesystem>

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "sanitizer.h"
#include "sys/process.h"

namespace casemate {
namespace {

TEST(UserModeLinux, CgroupsOnV2) {
  if (kAddressSanitizer) GTEST_SKIP() << "AddressSanitizer's shadow lies beyond the 512 GB that a user-mode Linux gives a process";
  struct statfs info{};
  if (::getpid() == 1 || (::statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC && ::geteuid() == 0)) {
    GTEST_SKIP() << "this host has cgroup v2: cgroup_test used it";
  }
  const std::string script = CASEMATE_SOURCE_DIR "/tests/kernel/cgroup_v2_uml.sh";
  if (::access(script.c_str(), R_OK | X_OK) != 0) GTEST_SKIP() << "this user can't read " << script;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const auto result = run_program({script, self}, std::chrono::minutes(3));
  ASSERT_TRUE(result) << result.error().what;
  if (result->end.code == 77) GTEST_SKIP() << result->out;
  EXPECT_EQ(result->end.code, 0) << result->out << result->err;
}

}  // namespace
}  // namespace casemate
