// Real cgroups of the host, v1, v2 or both; as a user without a delegated cgroup most is skipped, and what is left checks that it is said.
#include "sys/cgroup.h"

#include <csignal>
#include <filesystem>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sys/cgroup_directory.h"
#include "sys/cgroup_layout.h"
#include "sys/cgroup_v1.h"
#include "sys/process.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

// Starts a child in the cgroup the way a cell is started: CLONE_INTO_CGROUP on v2, "0" into each tasks file on v1.
template <class Body>
pid_t start_in(const Cgroup& cgroup, Body body) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  if (cgroup.directory_fd() >= 0) {
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup.directory_fd());
  }
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid == 0) {
    for (const int fd : cgroup.entry_fds()) {
      if (::write(fd, "0", 1) != 1) ::_exit(99);
    }
    ::_exit(body());
  }
  return pid;
}

int status_of(pid_t pid) {
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

// All cgroups of ours below the place that the factory uses; for "nothing is left behind".
std::set<std::string> cells(const CgroupSupport& support, pid_t pid = ::getpid()) {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(support.parent)) {
    const auto name = parse_cgroup_name(entry.path().filename().string());
    if (name && name->pid == pid && name->serial != 0) found.insert(entry.path().string());
  }
  return found;
}

class Cgroups : public testing::Test {
 protected:
  void SetUp() override {
    factory_ = open_cgroups();
    if (factory_->support().version == CgroupSupport::Version::none) GTEST_SKIP() << factory_->support().reason;
  }
  void TearDown() override {
    if (factory_->support().version == CgroupSupport::Version::none) return;
    const auto left = cells(factory_->support());
    EXPECT_TRUE(left.empty()) << *left.begin();
  }
  std::unique_ptr<Cgroup> make(const CgroupLimits& limits) {
    auto made = factory_->create(limits);
    EXPECT_TRUE(made) << made.error().what;
    return made ? std::move(*made) : nullptr;
  }
  std::unique_ptr<CgroupFactory> factory_;
};

TEST(CgroupsAnywhere, SupportSaysWhatIsThereOrWhyNot) {
  const auto factory = open_cgroups();
  const CgroupSupport& support = factory->support();
  if (support.version == CgroupSupport::Version::none) {
    EXPECT_FALSE(support.memory || support.pids || support.cpu || support.io);
    EXPECT_TRUE(support.parent.empty());
    EXPECT_FALSE(support.reason.empty());
    const auto made = factory->create({});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::not_supported);
    EXPECT_EQ(factory->sweep(), 0u);
  } else {
    EXPECT_TRUE(fs::is_directory(support.parent));
    EXPECT_EQ(support.memory && support.pids && support.cpu && support.io, support.reason.empty()) << support.reason;
  }
}

TEST(CgroupsAnywhere, AUserWithoutDelegationIsTold) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become a user";
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresgid(65534, 65534, 65534) < 0 || ::setresuid(65534, 65534, 65534) < 0) ::_exit(2);
    const auto factory = open_cgroups();
    CgroupLimits limits;
    limits.memory_bytes = 1 << 20;
    const auto made = factory->create(limits);
    const bool told =
        !made && made.error().code == ErrorCode::not_supported && made.error().what.find(factory->support().reason) != std::string::npos;
    ::_exit(factory->support().version == CgroupSupport::Version::none && factory->support().reason.size() > 20 && told ? 0 : 1);
  }
  EXPECT_EQ(status_of(child), 0);
}

TEST_F(Cgroups, AChildIsInsideAndCountedAndAllGoes) {
  CgroupLimits limits;
  limits.count_cpu = true;
  limits.count_io = true;
  auto cgroup = make(limits);
  ASSERT_TRUE(cgroup);
  EXPECT_EQ(cells(factory_->support()).size(), 1u);
  const pid_t child = start_in(*cgroup, [] {
    constexpr std::size_t kBytes = 24 << 20;
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return 1;
    const pid_t grandchild = ::fork();
    if (grandchild == 0) ::_exit(0);
    ::waitpid(grandchild, nullptr, 0);
    int spin = 20'000'000;
    while (--spin > 0) asm volatile("" : "+r"(spin));
    return 0;
  });
  ASSERT_GT(child, 0);
  EXPECT_EQ(status_of(child), 0);
  const CgroupUsage usage = cgroup->usage();
  if (factory_->support().memory) {
    ASSERT_TRUE(usage.oom_kills);
    EXPECT_EQ(*usage.oom_kills, 0u);
    EXPECT_GE(usage.peak_memory_bytes.value_or(24u << 20), 24u << 20);  // unset before Linux 5.19
  }
  if (factory_->support().pids) {
    EXPECT_EQ(usage.pids_refused, 0u);
    EXPECT_EQ(usage.peak_pids.value_or(2), 2u);  // unset before Linux 6.6
  }
  if (usage.user_cpu_us) {
    EXPECT_GT(*usage.user_cpu_us + usage.system_cpu_us.value_or(0), 1000u);
    ASSERT_TRUE(cgroup->cpu_us());
    EXPECT_GT(*cgroup->cpu_us(), 1000u);
  }
}

TEST_F(Cgroups, MemoryBeyondTheLimitKillsAndIsCounted) {
  if (!factory_->support().memory) GTEST_SKIP() << factory_->support().reason;
  CgroupLimits limits;
  limits.memory_bytes = 16 << 20;
  auto cgroup = make(limits);
  ASSERT_TRUE(cgroup);
  const pid_t child = start_in(*cgroup, [] {
    for (;;) {
      void* memory = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      if (memory == MAP_FAILED) return 1;
    }
  });
  const int status = status_of(child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  const CgroupUsage usage = cgroup->usage();
  EXPECT_GE(usage.oom_kills.value_or(0), 1u);
  EXPECT_LE(usage.peak_memory_bytes.value_or(0), 16u << 20);
}

TEST_F(Cgroups, ForksBeyondTheLimitAreRefusedAndCounted) {
  if (!factory_->support().pids) GTEST_SKIP() << factory_->support().reason;
  CgroupLimits limits;
  limits.pids = 3;
  auto cgroup = make(limits);
  ASSERT_TRUE(cgroup);
  const pid_t child = start_in(*cgroup, [] {
    int made = 0;
    for (int i = 0; i < 5; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::pause();
        ::_exit(0);
      }
      if (pid > 0) ++made;
      if (pid < 0 && errno != EAGAIN) return 98;
    }
    return made;
  });
  const int status = status_of(child);
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_EQ(cgroup->usage().pids_refused, 3u);
  // The two that pause are still there: the destructor has to kill them, which TearDown checks.
}

TEST_F(Cgroups, CpuLimitSlowsDown) {
  if (!factory_->support().cpu) GTEST_SKIP() << factory_->support().reason;
  CgroupLimits limits;
  limits.cpus = 0.1;
  limits.count_cpu = true;
  auto cgroup = make(limits);
  ASSERT_TRUE(cgroup);
  const pid_t child = start_in(*cgroup, [] {
    // 300 ms of work at a tenth of a core takes the kernel about 30 periods of 100 ms; a lower bound far from both, for clocks that tick
    // coarsely.
    timespec start{}, now{}, used{};
    ::clock_gettime(CLOCK_MONOTONIC, &start);
    do {
      ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (used.tv_nsec < 300'000'000 && used.tv_sec == 0);
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto ms = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1'000'000;
    return ms >= 900 ? 0 : 1;
  });
  EXPECT_EQ(status_of(child), 0);
}

TEST_F(Cgroups, KillAllEndsAForkBomb) {
  if (!factory_->support().pids) GTEST_SKIP() << factory_->support().reason;
  CgroupLimits limits;
  limits.pids = 40;
  auto cgroup = make(limits);
  ASSERT_TRUE(cgroup);
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = start_in(*cgroup, [&] {
    ::signal(SIGTERM, SIG_IGN);
    static_cast<void>(::write(ready[1], "x", 1));
    for (;;) ::fork();
    return 0;
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  cgroup->kill_all();
  const int status = status_of(child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(Cgroups, NamesCarryWhoMadeThem) {
  auto one = make({});
  auto other = open_cgroups()->create({});
  ASSERT_TRUE(one && other);
  const auto found = cells(factory_->support());
  ASSERT_EQ(found.size(), 2u);
  for (const std::string& path : found) {
    const auto name = parse_cgroup_name(fs::path(path).filename().string());
    ASSERT_TRUE(name);
    EXPECT_EQ(name->start_time, process_start_time(::getpid()).value_or(0));
  }
}

TEST_F(Cgroups, SweepTakesOnlyWhatDeadEnginesLeft) {
  factory_->sweep();
  auto mine = make({});
  ASSERT_TRUE(mine);
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  // An engine that is killed while a job of its runs, and one that lives.
  const pid_t engine = ::fork();
  if (engine == 0) {
    CgroupLimits limits;
    limits.count_cpu = true;
    auto lost = open_cgroups()->create(limits);
    if (!lost) ::_exit(1);
    const pid_t job = start_in(**lost, [] {
      for (;;) ::pause();
      return 0;
    });
    static_cast<void>(::write(ready[1], &job, sizeof job));
    ::pause();
    ::_exit(0);
  }
  pid_t job = 0;
  ASSERT_EQ(::read(ready[0], &job, sizeof job), static_cast<ssize_t>(sizeof job));
  ::close(ready[0]);
  ::close(ready[1]);
  EXPECT_EQ(factory_->sweep(), 0u) << "its engine lives";
  EXPECT_EQ(cells(factory_->support(), engine).size(), 1u);
  ::kill(engine, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(engine), &info, WEXITED | WNOWAIT);
  // A zombie is dead enough: whoever should reap it may never do so.
  EXPECT_EQ(factory_->sweep(), 1u);
  EXPECT_TRUE(cells(factory_->support(), engine).empty());
  EXPECT_EQ(cells(factory_->support()).size(), 1u) << "ours stays";
  status_of(engine);
  EXPECT_EQ(factory_->sweep(), 0u);
  // A process leaves its cgroup shortly before it counts as dead; the test's own time limit bounds the wait.
  while (parse_start_time(read_control(AT_FDCWD, fmt::format("/proc/{}/stat", job)).value_or(""))) ::usleep(1000);
}

TEST_F(Cgroups, TwoSweepersDoNotDisturbEachOther) {
  std::vector<std::string> names;
  // A pid that can't be: above the highest pid_max.
  for (int i = 1; i <= 20; ++i) names.push_back(format_cgroup_name({(1 << 22) + 1, 1, static_cast<std::uint64_t>(i), 0}));
  struct stat ns{};
  ::stat("/proc/self/ns/pid", &ns);
  if (ns.st_ino != 0xEFFFFFFC) GTEST_SKIP() << "not in the first pid namespace";
  for (const std::string& name : names) ASSERT_EQ(::mkdir((factory_->support().parent + "/" + name).c_str(), 0700), 0);
  std::size_t removed[2] = {};
  std::vector<std::unique_ptr<Cgroup>> mine;
  {
    std::jthread one([&] { removed[0] = open_cgroups()->sweep(); });
    std::jthread two([&] { removed[1] = open_cgroups()->sweep(); });
    for (int i = 0; i < 20; ++i) mine.push_back(make({}));
  }
  EXPECT_GE(removed[0] + removed[1], 20u);
  EXPECT_EQ(cells(factory_->support()).size(), 20u);
  for (const std::string& name : names) EXPECT_FALSE(fs::exists(factory_->support().parent + "/" + name));
}

TEST_F(Cgroups, OtherPidNamespacesAndForeignNamesAreLeftAlone) {
  const std::string other = factory_->support().parent + "/" + format_cgroup_name({(1 << 22) + 1, 1, 1, 4026999999});
  const std::string foreign = factory_->support().parent + "/casemate-not-ours";
  ASSERT_EQ(::mkdir(other.c_str(), 0700), 0);
  ASSERT_EQ(::mkdir(foreign.c_str(), 0700), 0);
  factory_->sweep();
  EXPECT_EQ(::rmdir(other.c_str()), 0);
  EXPECT_EQ(::rmdir(foreign.c_str()), 0);
}

TEST_F(Cgroups, ALimitThatTheKernelRefusesLeavesNothing) {
  if (!factory_->support().cpu) GTEST_SKIP() << factory_->support().reason;
  CgroupLimits limits;
  limits.cpus = 1e13;
  const auto made = factory_->create(limits);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().what.find("cpu"), std::string::npos) << made.error().what;
}

TEST_F(Cgroups, AThousandLeaveNoDescriptors) {
  const auto open_files = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()); };
  make({});
  const auto before = open_files();
  for (int i = 0; i < 200; ++i) {
    CgroupLimits limits;
    limits.pids = 10;
    auto cgroup = make(limits);
    ASSERT_TRUE(cgroup);
    status_of(start_in(*cgroup, [] { return 0; }));
  }
  EXPECT_EQ(open_files(), before);
}

// An unprivileged engine's cell runs as the very user that owns the limits' files; with namespaces of its own it can mount cgroup2.
TEST_F(Cgroups, ACellOfTheSameUserCannotRaiseItsLimits) {
  if (::geteuid() == 0) GTEST_SKIP() << "root's cells run as another user";
  CgroupLimits limits;
  limits.pids = 5;
  auto cgroup = make(limits);
  ASSERT_TRUE(cgroup);
  if (cgroup->directory_fd() < 0) GTEST_SKIP() << "no v2";
  std::string point = (fs::temp_directory_path() / "casemate-mount-XXXXXX").string();
  ASSERT_NE(::mkdtemp(point.data()), nullptr);
  const uid_t user = ::geteuid();
  const pid_t child = start_in(*cgroup, [&] {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) < 0) return 2;
    if (write_control(AT_FDCWD, "/proc/self/uid_map", fmt::format("0 {} 1", user)) != 0) return 3;
    if (::mount("none", point.c_str(), "cgroup2", 0, nullptr) < 0) return 4;
    if (::access((point + "/cgroup.procs").c_str(), R_OK) < 0) return 5;
    return write_control(AT_FDCWD, point + "/pids.max", "max") == 0 ? 6 : 0;
  });
  const int code = WEXITSTATUS(status_of(child));
  ::rmdir(point.c_str());
  if (code == 2) GTEST_SKIP() << "no user namespaces";
  EXPECT_EQ(code, 0);
}

// A v1 directory that was given to a user is enough: no privilege is needed to make cells in it and to enter them.
TEST_F(Cgroups, AUserUsesADelegatedV1Cgroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to delegate";
  const auto memberships = parse_cgroup_memberships(read_control(AT_FDCWD, "/proc/self/cgroup").value_or(""));
  const auto mounts = parse_cgroup_mounts(read_control(AT_FDCWD, "/proc/self/mountinfo").value_or(""));
  std::vector<std::string> given;
  const std::string name = fmt::format("/casemate-test-{}", ::getpid());
  for (const CgroupPlace& place : cgroup_places(memberships, mounts)) {
    if (!place.v2 && (place.controllers & (kCgroupMemory | kCgroupPids))) given.push_back(place.own + name);
  }
  if (given.size() != 2) GTEST_SKIP() << "no v1 hierarchies of memory and pids";
  for (const std::string& path : given) {
    ASSERT_EQ(::mkdir(path.c_str(), 0755), 0) << path;
    ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    for (const std::string& path : given) {
      if (write_control(AT_FDCWD, path + "/tasks", "0") != 0) ::_exit(2);
    }
    if (::setresgid(65534, 65534, 65534) < 0 || ::setresuid(65534, 65534, 65534) < 0) ::_exit(3);
    const auto factory = open_cgroups();
    if (!factory->support().memory || !factory->support().pids || factory->support().cpu) ::_exit(4);
    CgroupLimits limits;
    limits.pids = 1;
    auto cgroup = factory->create(limits);
    if (!cgroup) ::_exit(5);
    const pid_t job = start_in(**cgroup, [] { return ::fork() < 0 && errno == EAGAIN ? 7 : 1; });
    int status = 0;
    ::waitpid(job, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7 || (*cgroup)->usage().pids_refused != 1u) ::_exit(6);
    cgroup->reset();
    ::_exit(0);
  }
  EXPECT_EQ(status_of(child), 0);
  for (const std::string& path : given) EXPECT_TRUE(remove_cgroup(AT_FDCWD, path)) << path;
}

}  // namespace
}  // namespace casemate
