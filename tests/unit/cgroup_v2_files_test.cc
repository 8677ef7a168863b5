// What is written to and read from the files of a v2 cgroup, against ordinary files in a temp directory. The kernel's side of it is in
// tests/kernel/cgroup_test.cc, which runs on whatever hierarchy the host has.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "sys/cgroup_directory.h"
#include "sys/cgroup_v2.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

class OrdinaryFilesAsCgroup : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "casemate-cgroup-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directory(root_ / "cell");
    parent_.reset(::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& file, const std::string& text) { std::ofstream(root_ / file) << text; }
  std::string get(const std::string& file) {
    std::ifstream in(root_ / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path root_;
  UniqueFd parent_;
};

TEST_F(OrdinaryFilesAsCgroup, LimitsGoToTheirFiles) {
  for (const char* file : {"memory.max", "memory.swap.max", "pids.max", "cpu.max"}) put(std::string("cell/") + file, "");
  CgroupLimits limits;
  limits.memory_bytes = 64 << 20;
  limits.pids = 17;
  limits.cpus = 1.5;
  const auto written = write_v2_limits(parent_.get(), "cell", limits);
  ASSERT_TRUE(written) << written.error().what;
  EXPECT_EQ(get("cell/memory.max"), "67108864");
  EXPECT_EQ(get("cell/memory.swap.max"), "0");
  EXPECT_EQ(get("cell/pids.max"), "17");
  EXPECT_EQ(get("cell/cpu.max"), "150000 100000");
}

TEST_F(OrdinaryFilesAsCgroup, TheSmallestCpuLimitIsWhatTheKernelTakes) {
  put("cell/cpu.max", "");
  CgroupLimits limits;
  limits.cpus = 0.0001;
  ASSERT_TRUE(write_v2_limits(parent_.get(), "cell", limits));
  EXPECT_EQ(get("cell/cpu.max"), "1000 100000");
}

TEST_F(OrdinaryFilesAsCgroup, AMissingControllerFailsButMissingSwapDoesNot) {
  put("cell/memory.max", "");
  CgroupLimits limits;
  limits.memory_bytes = 1 << 20;
  EXPECT_TRUE(write_v2_limits(parent_.get(), "cell", limits));
  limits.pids = 5;
  const auto written = write_v2_limits(parent_.get(), "cell", limits);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().errno_value, ENOENT);
  EXPECT_NE(written.error().what.find("cell/pids.max"), std::string::npos) << written.error().what;
  EXPECT_FALSE(fs::exists(root_ / "cell/pids.max"));  // never creates files
}

TEST_F(OrdinaryFilesAsCgroup, UsageIsReadAndWhatIsMissingStaysUnset) {
  put("cell/memory.peak", "1048576\n");
  put("cell/memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n");
  put("cell/pids.events", "max 3\n");
  put("cell/cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 0\n");
  put("cell/io.stat",
      "8:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n254:0 \n");
  CgroupUsage usage = read_v2_usage(parent_.get(), "cell");
  EXPECT_EQ(usage.peak_memory_bytes, 1048576u);
  EXPECT_EQ(usage.oom_kills, 1u);
  EXPECT_EQ(usage.pids_refused, 3u);
  EXPECT_FALSE(usage.peak_pids);
  EXPECT_EQ(usage.user_cpu_us, 20u);
  EXPECT_EQ(usage.system_cpu_us, 10u);
  EXPECT_EQ(usage.read_bytes, 101u);
  EXPECT_EQ(usage.written_bytes, 9u);
  usage = read_v2_usage(parent_.get(), "nothing");
  EXPECT_FALSE(usage.peak_memory_bytes || usage.oom_kills || usage.pids_refused || usage.user_cpu_us || usage.read_bytes);
}

TEST_F(OrdinaryFilesAsCgroup, ControllersAreEnabledOnceAndMissingOnesReported) {
  put("cgroup.subtree_control", "");
  V2Parent parent;
  parent.path = root_;
  parent.directory.reset(::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  parent.available = kCgroupMemory | kCgroupPids | kCgroupCpu;
  parent.enabled = kCgroupMemory;
  EXPECT_EQ(enable_v2(parent, kCgroupMemory | kCgroupPids), 0u);
  EXPECT_EQ(get("cgroup.subtree_control"), "+pids");
  EXPECT_EQ(enable_v2(parent, kCgroupIo), kCgroupIo);
  EXPECT_EQ(parent.enabled, kCgroupMemory | kCgroupPids);
}

TEST_F(OrdinaryFilesAsCgroup, AParentThatNobodyDelegatedIsExplained) {
  put("cgroup.controllers", "cpu memory pids\n");
  put("cgroup.subtree_control", "");
  put("cgroup.procs", "1\n2\n");
  put("cgroup.type", "domain\n");
  CgroupPlace place;
  place.v2 = true;
  place.top = place.own = root_;
  const auto parent = open_v2_parent(place, "casemate-1-2-0");
  ASSERT_FALSE(parent);
  EXPECT_EQ(parent.error().code, ErrorCode::not_supported);
  EXPECT_NE(parent.error().what.find("other processes in it"), std::string::npos) << parent.error().what;
  EXPECT_NE(parent.error().what.find("Delegate=yes"), std::string::npos) << parent.error().what;
}

}  // namespace
}  // namespace casemate
