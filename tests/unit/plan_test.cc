// Plans are values: the same job on the same host gives the same steps, kept as text in tests/golden/plans. CASEMATE_UPDATE_GOLDEN=1 writes
// them anew.
#include "cell/plan.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Op = Step::Op;

// A Debian-like host, whatever machine the test runs on.
HostFacts any_host() {
  HostFacts host;
  for (const char* path : {"/usr", "/etc", "/opt", "/srv/project", "/srv/data"}) host.paths[path] = {HostPath::Kind::directory, ""};
  for (const char* name : {"bin", "sbin", "lib", "lib64"})
    host.paths[std::string("/") + name] = {HostPath::Kind::symlink, std::string("usr/") + name};
  host.paths["/lib32"] = host.paths["/libx32"] = {HostPath::Kind::missing, ""};
  host.paths["/srv/file"] = {HostPath::Kind::file, ""};
  host.machine_id = true;
  return host;
}

HostFacts root_host() {
  HostFacts host = any_host();
  host.privileged = true;
  host.uid_map = host.gid_map = {{0, kFirstShiftedId, kShiftedIds}};
  return host;
}

HostFacts single_id_host() {
  HostFacts host = any_host();
  host.uid = host.gid = 1000;
  host.uid_map = host.gid_map = {{0, 1000, 1}};
  return host;
}

HostFacts sub_id_host() {
  HostFacts host = single_id_host();
  host.sub_ids = true;
  host.uid_map = host.gid_map = {{0, 1000, 1}, {1, 100'000, 65'535}};
  return host;
}

Job plain_job() {
  Job job;
  job.argv = {"true"};
  job.limits = default_limits();
  return job;
}

// One of everything.
Job full_job() {
  Job job = plain_job();
  job.cwd = "/work/sub";
  job.hostname = "full";
  job.user = {0, 0};
  job.capabilities = {"NET_BIND_SERVICE", "cap_chown"};
  job.limits.cpu_time = std::chrono::milliseconds(2500);
  job.limits.file_bytes = 1 << 20;
  job.mounts = {
      {.kind = Mount::Kind::tmpfs, .target = "/work/cache", .executable = false, .bytes = 1 << 20, .mode = 0700},
      {.kind = Mount::Kind::overlay, .target = "/work", .lower = {"/srv/project", "/srv/data"}, .owned = true},
      {.kind = Mount::Kind::overlay, .target = "/empty"},
      {.kind = Mount::Kind::bind, .source = "/srv/data", .target = "/data", .writable = true, .owned = true},
      {.kind = Mount::Kind::bind, .source = "/srv/file", .target = "/data2/file", .executable = false},
  };
  job.collect = {"/work", "/empty"};
  return job;
}

Plan compiled(const Job& job, const HostFacts& host) {
  auto plan = compile(job, host);
  EXPECT_TRUE(plan) << plan.error().what;
  return plan ? *plan : Plan{};
}

std::string text(const Plan& plan) {
  std::string lines = "namespaces:";
  constexpr std::pair<std::uint64_t, const char*> kNames[] = {{CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mnt"},  {CLONE_NEWPID, "pid"},
                                                              {CLONE_NEWIPC, "ipc"},   {CLONE_NEWUTS, "uts"}, {CLONE_NEWNET, "net"}};
  std::uint64_t rest = plan.namespaces;
  for (const auto& [flag, name] : kNames) {
    if (plan.namespaces & flag) lines += std::string(" ") + name;
    rest &= ~flag;
  }
  EXPECT_EQ(rest, 0u);
  lines += "\ncell:\n";
  for (const Step& step : plan.cell) lines += "  " + describe(step, plan) + "\n";
  lines += "job:\n";
  for (const Step& step : plan.job) lines += "  " + describe(step, plan) + "\n";
  return lines;
}

std::size_t position(const Plan& plan, Op op, const std::string& path = "") {
  const auto found = std::find_if(plan.cell.begin(), plan.cell.end(),
                                  [&](const Step& step) { return step.op == op && (path.empty() || step.path == path); });
  EXPECT_NE(found, plan.cell.end()) << word(op) << " " << path;
  return static_cast<std::size_t>(found - plan.cell.begin());
}

bool has(const std::vector<Step>& steps, Op op, const std::string& path = "") {
  return std::any_of(steps.begin(), steps.end(), [&](const Step& step) { return step.op == op && (path.empty() || step.path == path); });
}

void expect_golden(const std::string& name, const Plan& plan) {
  const fs::path path = fs::path(CASEMATE_SOURCE_DIR) / "tests/golden/plans" / (name + ".txt");
  const std::string got = text(plan);
  if (std::getenv("CASEMATE_UPDATE_GOLDEN")) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << got;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file) << path << " is missing: run with CASEMATE_UPDATE_GOLDEN=1";
  EXPECT_EQ(got, std::string(std::istreambuf_iterator<char>(file), {})) << "if this is meant, run with CASEMATE_UPDATE_GOLDEN=1";
}

TEST(PlanGolden, PlainJobOnEachKindOfHost) {
  expect_golden("plain-root", compiled(plain_job(), root_host()));
  expect_golden("plain-single-id", compiled(plain_job(), single_id_host()));
  expect_golden("plain-sub-ids", compiled(plain_job(), sub_id_host()));
}

TEST(PlanGolden, FullJobOnEachKindOfHost) {
  expect_golden("full-root", compiled(full_job(), root_host()));
  expect_golden("full-single-id", compiled(full_job(), single_id_host()));
  Job job = full_job();
  job.user = {1000, 1000};
  expect_golden("full-sub-ids", compiled(job, sub_id_host()));
}

TEST(PlanGolden, StrictReadOnlyOutbound) {
  Job job = plain_job();
  job.profile = Profile::strict;
  job.read_only = true;
  job.network = Network::outbound;
  HostFacts host = root_host();
  host.loopback_resolver = true;
  expect_golden("strict-read-only-outbound", compiled(job, host));
}

TEST(PlanGolden, ImageOnEachKindOfHost) {
  Job job = plain_job();
  job.image = "test";
  job.root = {"/srv/project", "/srv/data"};
  job.network = Network::outbound;
  job.mounts = {{.kind = Mount::Kind::sysfs, .target = "/sys"},
                {.kind = Mount::Kind::device, .source = "fuse", .target = "/dev/fuse"},
                {.kind = Mount::Kind::overlay, .target = "/app", .lower = {"/srv/project"}, .under = "/usr", .owned = true}};
  job.collect = {"/"};
  HostFacts host = root_host();
  host.resolv_conf = "nameserver 192.0.2.1\n";
  expect_golden("image-root", compiled(job, host));
  host = sub_id_host();
  host.resolv_conf = "nameserver 192.0.2.1\n";
  expect_golden("image-sub-ids", compiled(job, host));
}

TEST(Plan, IsPure) {
  const Job job = full_job();
  const HostFacts host = root_host();
  EXPECT_EQ(compiled(job, host), compiled(job, host));
  EXPECT_EQ(host, root_host());
}

TEST(Plan, CommandAndEnvironmentDoNotShowInThePlan) {
  Job other = plain_job();
  other.argv = {"sh", "-c", "exit 3"};
  other.env = {{"A", "b"}};
  EXPECT_EQ(compiled(plain_job(), root_host()), compiled(other, root_host()));
}

// What a job is changed by, and words that the refusal must have.
struct Refusal {
  const char* name;
  void (*change)(Job&);
  ErrorCode code;
  const char* words;
};

class PlanRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(PlanRefuses, OneLineThatNamesIt) {
  Job job = plain_job();
  ASSERT_TRUE(compile(job, single_id_host()));
  GetParam().change(job);
  const auto plan = compile(job, single_id_host());
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, GetParam().code) << plan.error().what;
  EXPECT_NE(plan.error().what.find(GetParam().words), std::string::npos) << plan.error().what;
  EXPECT_EQ(plan.error().what.find('\n'), std::string::npos);
}

Mount tmpfs_at(const std::string& target) { return {.kind = Mount::Kind::tmpfs, .target = target}; }

constexpr auto kInvalid = ErrorCode::invalid_input;
using namespace std::string_literals;
const Refusal kRefusals[] = {
    {"EmptyArgv", [](Job& job) { job.argv.clear(); }, kInvalid, "needs a command"},
    {"EmptyCommand", [](Job& job) { job.argv = {"", "x"}; }, kInvalid, "needs a command"},
    {"NulInArgument", [](Job& job) { job.argv = {"true", "a\0b"s}; }, kInvalid, "NUL"},
    {"NulInEnvironmentName", [](Job& job) { job.env["a\0b"s] = ""; }, kInvalid, "environment"},
    {"NulInEnvironmentValue", [](Job& job) { job.env["A"] = "a\0b"s; }, kInvalid, "environment"},
    {"EmptyEnvironmentName", [](Job& job) { job.env[""] = "x"; }, kInvalid, "environment"},
    {"EqualsInEnvironmentName", [](Job& job) { job.env["A=B"] = "x"; }, kInvalid, "environment"},
    {"RelativeCwd", [](Job& job) { job.cwd = "work"; }, kInvalid, "not an absolute path"},
    {"EmptyCwd", [](Job& job) { job.cwd = ""; }, kInvalid, "not an absolute path"},
    {"DotsInCwd", [](Job& job) { job.cwd = "/work/../etc"; }, kInvalid, "'..'"},
    {"NulInCwd", [](Job& job) { job.cwd = "/a\0b"s; }, kInvalid, "NUL"},
    {"EmptyHostname", [](Job& job) { job.hostname = ""; }, kInvalid, "host name"},
    {"LongHostname", [](Job& job) { job.hostname = std::string(65, 'a'); }, kInvalid, "host name"},
    {"RelativeTarget", [](Job& job) { job.mounts = {tmpfs_at("data")}; }, kInvalid, "not an absolute path"},
    {"EmptyTarget", [](Job& job) { job.mounts = {tmpfs_at("")}; }, kInvalid, "not an absolute path"},
    {"DotsInTarget", [](Job& job) { job.mounts = {tmpfs_at("/a/../../b")}; }, kInvalid, "'..'"},
    {"NulInTarget", [](Job& job) { job.mounts = {tmpfs_at("/a\0b"s)}; }, kInvalid, "NUL"},
    {"MountOverRoot", [](Job& job) { job.mounts = {tmpfs_at("//./")}; }, kInvalid, "nothing can be mounted"},
    {"MountOverProc", [](Job& job) { job.mounts = {tmpfs_at("/proc")}; }, kInvalid, "nothing can be mounted"},
    {"MountInProc", [](Job& job) { job.mounts = {tmpfs_at("/proc//sys")}; }, kInvalid, "nothing can be mounted"},
    {"MountOverDev", [](Job& job) { job.mounts = {tmpfs_at("/dev/")}; }, kInvalid, "nothing can be mounted"},
    {"MountOverSys", [](Job& job) { job.mounts = {tmpfs_at("/sys/fs")}; }, kInvalid, "nothing can be mounted"},
    {"MountOverLayers", [](Job& job) { job.mounts = {tmpfs_at("/.layers/0")}; }, kInvalid, "nothing can be mounted"},
    {"TwoMountsAtOnePlace", [](Job& job) { job.mounts = {tmpfs_at("/a/b"), tmpfs_at("/a//b/")}; }, kInvalid, "two mounts"},
    {"RelativeSource", [](Job& job) { job.mounts = {{.source = "srv/data", .target = "/data"}}; }, kInvalid, "not an absolute path"},
    {"NulInSource", [](Job& job) { job.mounts = {{.source = "/srv\0x"s, .target = "/data"}}; }, kInvalid, "NUL"},
    {"NulInLower", [](Job& job) { job.mounts = {{.kind = Mount::Kind::overlay, .target = "/data", .lower = {"/srv\0x"s}}}; }, kInvalid,
     "NUL"},
    {"MissingSource", [](Job& job) { job.mounts = {{.source = "/srv/none", .target = "/data"}}; }, ErrorCode::not_found, "/srv/none"},
    {"RelativeLower", [](Job& job) { job.mounts = {{.kind = Mount::Kind::overlay, .target = "/data", .lower = {"srv"}}}; }, kInvalid,
     "not an absolute path"},
    {"RelativeHostPath", [](Job& job) { job.host_paths = {"usr"}; }, kInvalid, "not an absolute path"},
    {"DotsInHostPath", [](Job& job) { job.host_paths = {"/../usr"}; }, kInvalid, "'..'"},
    {"WholeHost", [](Job& job) { job.host_paths = {"/usr", "/"}; }, kInvalid, "'/' can't be shown"},
    {"WholeHostByDots", [](Job& job) { job.host_paths = {"//."}; }, kInvalid, "'/' can't be shown"},
    {"HostsProc", [](Job& job) { job.host_paths = {"/proc"}; }, kInvalid, "'/proc' can't be shown"},
    {"HostsSys", [](Job& job) { job.host_paths = {"/./sys/fs"}; }, kInvalid, "can't be shown"},
    {"HostsDevice", [](Job& job) { job.host_paths = {"/dev/kmsg"}; }, kInvalid, "can't be shown"},
    {"UnknownCapability", [](Job& job) { job.capabilities = {"FLY"}; }, kInvalid, "no capability 'FLY'"},
    {"EmptyCapability", [](Job& job) { job.capabilities = {""}; }, kInvalid, "no capability"},
    {"UnknownUser", [](Job& job) { job.user = {1000, 0}; }, ErrorCode::not_supported, "/etc/subuid"},
    {"UnknownGroup", [](Job& job) { job.user = {0, 1000}; }, ErrorCode::not_supported, "0:1000"},
    {"CollectWithoutOverlay", [](Job& job) { job.collect = {"/work"}; }, kInvalid, "/work"},
    {"CollectATmpfs",
     [](Job& job) {
       job.mounts = {tmpfs_at("/work")};
       job.collect = {"/work"};
     },
     kInvalid, "no overlay"},
    {"ImageNobodyOpened", [](Job& job) { job.image = "alpine"; }, kInvalid, "alpine"},
    {"HostWithLayers", [](Job& job) { job.root = {"/srv/data"}; }, kInvalid, "opened"},
    {"RelativeLayer", [](Job& job) { job.image = "alpine", job.root = {"data"}; }, kInvalid, "'data'"},
    {"NulInLayer", [](Job& job) { job.image = "alpine", job.root = {"/a\0b"s}; }, kInvalid, "layer"},
    {"HostPathsWithImage", [](Job& job) { job.image = "alpine", job.root = {"/srv/data"}, job.host_paths = {"/usr"}; }, kInvalid, "host"},
    {"RootOfHostCollected", [](Job& job) { job.collect = {"/"}; }, kInvalid, "'/'"},
    {"TinyMemory", [](Job& job) { job.limits.memory_bytes = (4 << 20) - 1; }, kInvalid, "memory limit"},
    {"NoPids", [](Job& job) { job.limits.pids = 0; }, kInvalid, "pids limit"},
    {"TooManyPids", [](Job& job) { job.limits.pids = 0xffffffff; }, kInvalid, "pids limit"},
    {"TinyCpus", [](Job& job) { job.limits.cpus = 0.001; }, kInvalid, "cpu limit"},
    {"NegativeCpus", [](Job& job) { job.limits.cpus = -1; }, kInvalid, "cpu limit"},
    {"CpusNotANumber", [](Job& job) { job.limits.cpus = std::numeric_limits<double>::quiet_NaN(); }, kInvalid, "cpu limit"},
    {"TinyDisk", [](Job& job) { job.limits.disk_bytes = 65'535; }, kInvalid, "disk limit"},
    {"NoInodes", [](Job& job) { job.limits.disk_inodes = 0; }, kInvalid, "disk limit"},
    {"TmpfsOfNoSize",
     [](Job& job) {
       job.mounts = {tmpfs_at("/a")};
       job.mounts[0].bytes = 0;
     },
     kInvalid, "size of a tmpfs"},
    {"FewOpenFiles", [](Job& job) { job.limits.open_files = 7; }, kInvalid, "open files"},
    {"NoCpuTime", [](Job& job) { job.limits.cpu_time = std::chrono::milliseconds(0); }, kInvalid, "CPU time"},
    {"NoWallTime", [](Job& job) { job.limits.wall = std::chrono::milliseconds(-1); }, kInvalid, "time limit"},
};
INSTANTIATE_TEST_SUITE_P(All, PlanRefuses, testing::ValuesIn(kRefusals), [](const auto& row) { return std::string(row.param.name); });

TEST(Plan, UserIdsExistUpToTheEndOfTheMap) {
  Job job = plain_job();
  job.user = {65'535, 65'535};
  EXPECT_TRUE(compile(job, root_host()));
  EXPECT_TRUE(compile(job, sub_id_host()));
  job.user.uid = 65'536;
  EXPECT_FALSE(compile(job, root_host()));
  EXPECT_FALSE(compile(job, sub_id_host()));
}

TEST(Plan, MountsComeInTheOrderOfTheirDepth) {
  Job job = plain_job();
  job.mounts = {tmpfs_at("/a/b/c"), tmpfs_at("/z"), tmpfs_at("/a/b"), tmpfs_at("/a")};
  const Plan plan = compiled(job, root_host());
  EXPECT_LT(position(plan, Op::mount, "z"), position(plan, Op::mount, "a/b"));
  EXPECT_LT(position(plan, Op::mount, "a"), position(plan, Op::mount, "a/b"));
  EXPECT_LT(position(plan, Op::mount, "a/b"), position(plan, Op::mount, "a/b/c"));
  EXPECT_LT(position(plan, Op::mount, "a/b"), position(plan, Op::make_directory, "a/b/c")) << "made where it can be seen";
}

TEST(Plan, PlacesBelowANewMountAreMadeAgainInIt) {
  Job job = plain_job();
  job.mounts = {tmpfs_at("/var"), tmpfs_at("/var/tmp")};
  const Plan plan = compiled(job, root_host());
  const auto made = std::count_if(plan.cell.begin(), plan.cell.end(),
                                  [](const Step& step) { return step.op == Op::make_directory && step.path == "var/tmp"; });
  EXPECT_EQ(made, 2) << "/var/tmp of the root is hidden by the tmpfs at /var";
}

TEST(Plan, ATmpfsOverATreeOfTheHostCanBeBuiltIn) {
  Job job = plain_job();
  job.mounts = {tmpfs_at("/opt"), {.source = "/srv/data", .target = "/opt/data"}};
  EXPECT_TRUE(has(compiled(job, root_host()).cell, Op::make_directory, "opt/data"));
  job.mounts.erase(job.mounts.begin());
  const auto refused = compile(job, root_host());
  ASSERT_FALSE(refused) << "the host's /opt is read-only: a place to mount at must be there";
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
}

TEST(Plan, ATargetBehindALinkOfTheRootIsWhereTheLinkLeads) {
  Job job = plain_job();
  job.mounts = {{.source = "/srv/file", .target = "/lib/x"}};
  const auto refused = compile(job, root_host());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
  EXPECT_TRUE(refused.error().what.starts_with("can't mount at '/lib/x': it lies in a read-only directory of the host"))
      << refused.error().what;
  HostFacts host = root_host();
  host.paths["/lib/x"] = {HostPath::Kind::file, ""};
  const Plan plan = compiled(job, host);
  EXPECT_TRUE(has(plan.cell, Op::attach, "usr/lib/x"));
  EXPECT_FALSE(has(plan.cell, Op::make_file, "lib/x"));
  job.mounts.push_back({.source = "/srv/file", .target = "/usr/lib/x"});
  EXPECT_FALSE(compile(job, host)) << "two mounts at one place";
}

TEST(Plan, PlacesOfMountsAreWalkedAsInTheCell) {
  Job job = plain_job();
  job.mounts = {{.kind = Mount::Kind::overlay, .target = "/app", .lower = {"/srv/project"}}, tmpfs_at("/app/link/made")};
  for (const Step& step : compiled(job, root_host()).cell) {
    if (step.path.starts_with("app")) {
      EXPECT_TRUE(step.scoped) << step.path;
    }
    if (step.path == "etc/machine-id") {
      EXPECT_TRUE(step.scoped) << "the host's /etc may have a link there";
    }
    if (step.path.starts_with("dev/")) {
      EXPECT_FALSE(step.scoped) << step.path;
    }
  }
}

TEST(Plan, ReadOnlyKeepsMountsBelowTmpVisible) {
  Job job = plain_job();
  job.read_only = true;
  job.mounts = {{.source = "/srv/data", .target = "/tmp/data"}, {.source = "/srv/data", .target = "/dev/shm/"}};
  const Plan plan = compiled(job, root_host());
  EXPECT_LT(position(plan, Op::mount, "tmp"), position(plan, Op::attach, "tmp/data"));
  EXPECT_LT(position(plan, Op::mount, "dev/shm"), position(plan, Op::attach, "dev/shm"));
  EXPECT_LT(position(plan, Op::attach, "tmp/data"), position(plan, Op::read_only, "/"));
  EXPECT_LT(position(plan, Op::pivot), position(plan, Op::read_only, "/"));
}

TEST(Plan, TheWorkingDirectoryIsMadeAfterTheHostIsGone) {
  Job job = plain_job();
  job.cwd = "/work/link/sub";
  const Plan plan = compiled(job, root_host());
  EXPECT_LT(position(plan, Op::pivot), position(plan, Op::make_directory, "work/link/sub"));
}

TEST(Plan, StrictSeesOnlyProcesses) {
  Job job = plain_job();
  Plan plan = compiled(job, root_host());
  EXPECT_EQ(plan.cell[position(plan, Op::mount, "proc")].data, "");
  EXPECT_TRUE(has(plan.cell, Op::bind, "proc/kcore"));
  EXPECT_TRUE(has(plan.cell, Op::read_only, "proc/sys"));
  job.profile = Profile::strict;
  plan = compiled(job, root_host());
  EXPECT_EQ(plan.cell[position(plan, Op::mount, "proc")].data, "subset=pid");
  EXPECT_FALSE(has(plan.cell, Op::bind, "proc/kcore"));
  EXPECT_EQ(std::find_if(plan.job.begin(), plan.job.end(), [](const Step& step) { return step.op == Op::seccomp; })->data, "strict");
}

TEST(Plan, NetworkChoices) {
  Job job = plain_job();
  HostFacts host = root_host();
  host.resolv_conf_path = "/run/systemd/resolve/stub-resolv.conf";
  host.resolv_conf = "nameserver 192.0.2.1\n";
  Plan plan = compiled(job, host);
  EXPECT_TRUE(plan.namespaces & CLONE_NEWNET);
  EXPECT_TRUE(has(plan.cell, Op::loopback_up));
  EXPECT_FALSE(has(plan.cell, Op::make_file, "run/systemd/resolve/stub-resolv.conf")) << "no network, no resolver";

  job.network = Network::host;
  plan = compiled(job, host);
  EXPECT_FALSE(plan.namespaces & CLONE_NEWNET);
  EXPECT_FALSE(has(plan.cell, Op::loopback_up));
  EXPECT_FALSE(has(plan.cell, Op::await_network));
  EXPECT_EQ(plan.cell[position(plan, Op::make_file, "run/systemd/resolve/stub-resolv.conf")].data, host.resolv_conf);

  job.network = Network::outbound;
  plan = compiled(job, host);
  EXPECT_TRUE(plan.namespaces & CLONE_NEWNET);
  EXPECT_TRUE(plan.outbound);
  EXPECT_LT(position(plan, Op::export_network), position(plan, Op::await_network));
  EXPECT_EQ(plan.cell[position(plan, Op::make_file, "run/systemd/resolve/stub-resolv.conf")].data, host.resolv_conf);
}

TEST(Plan, ALoopbackResolverIsReachedThroughTheGateway) {
  Job job = plain_job();
  HostFacts host = root_host();
  host.loopback_resolver = true;
  job.network = Network::outbound;
  Plan plan = compiled(job, host);
  EXPECT_EQ(plan.cell[position(plan, Op::make_file, "run/resolv.conf")].data, std::string("nameserver ") + kGatewayResolver + "\n");
  EXPECT_EQ(plan.cell[position(plan, Op::bind, "etc/resolv.conf")].source, "run/resolv.conf");
  job.network = Network::host;
  EXPECT_FALSE(has(compiled(job, host).cell, Op::make_file, "run/resolv.conf")) << "there the host's own loopback is in reach";
}

TEST(Plan, SourcesAreOpenedByWhoeverMay) {
  const Job job = full_job();
  EXPECT_FALSE(has(compiled(job, root_host()).cell, Op::open_source));
  const Plan plan = compiled(job, single_id_host());
  EXPECT_EQ(static_cast<std::size_t>(
                std::count_if(plan.cell.begin(), plan.cell.end(), [](const Step& step) { return step.op == Op::open_source; })),
            plan.sources.size());
  EXPECT_LT(position(plan, Op::open_source), position(plan, Op::await_engine)) << "while the process is still the caller";
  for (const Source& source : plan.sources) EXPECT_FALSE(source.idmapped) << source.path << ": only root can idmap";
}

TEST(Plan, HostPathsAreNeverIdmappedOrWritable) {
  const Plan plan = compiled(full_job(), root_host());
  for (const Source& source : plan.sources) {
    if (source.path.starts_with("/srv")) continue;
    EXPECT_TRUE(source.read_only) << source.path;
    EXPECT_FALSE(source.idmapped) << source.path;
  }
}

std::vector<std::string> links_of(const Job& job) {
  std::vector<std::string> links;
  const auto plan = compile(job, root_host());
  EXPECT_TRUE(plan);
  for (const Step& step : plan->cell) {
    if (step.op == Op::make_symlink && !step.path.starts_with("dev/")) links.push_back(step.path + " -> " + step.source);
  }
  return links;
}

TEST(Plan, WhatIsShownBringsTheRootsLinksIntoIt) {
  Job job = plain_job();
  job.host_paths = {"/usr"};
  EXPECT_EQ(links_of(job), (std::vector<std::string>{"bin -> usr/bin", "sbin -> usr/sbin", "lib -> usr/lib", "lib64 -> usr/lib64"}));
  job.host_paths = {"/usr/lib64", "/bin"};
  EXPECT_EQ(links_of(job), (std::vector<std::string>{"bin -> usr/bin", "lib64 -> usr/lib64"}));
  job.host_paths = {"/us", "/etc"};
  EXPECT_TRUE(links_of(job).empty());
}

TEST(Plan, CollectedLayersAreHandedOutInOrder) {
  const Plan plan = compiled(full_job(), root_host());
  EXPECT_EQ(plan.collected, (std::vector<std::string>{"/work", "/empty"}));
  EXPECT_EQ(plan.collected_lower[0], (std::vector<std::string>{"/srv/project", "/srv/data"}));
  EXPECT_TRUE(plan.collected_lower[1].empty());
  EXPECT_LT(position(plan, Op::export_directory), position(plan, Op::detach, ".layers"));
}

TEST(Plan, PrivilegesEndBeforeTheProgramStarts) {
  const Plan plan = compiled(full_job(), root_host());
  std::vector<Op> tail;
  for (const Step& step : plan.job) {
    if (step.op != Op::resource_limit) tail.push_back(step.op);
  }
  EXPECT_EQ(tail, (std::vector<Op>{Op::session, Op::identity, Op::change_directory, Op::capabilities, Op::no_new_privileges, Op::seccomp,
                                   Op::execute}));
  const auto kept = std::find_if(plan.job.begin(), plan.job.end(), [](const Step& step) { return step.op == Op::capabilities; });
  EXPECT_EQ(kept->number, 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_CHOWN);
}

TEST(Plan, EveryStepHasWords) {
  for (const HostFacts& host : {root_host(), single_id_host()}) {
    const Plan plan = compiled(full_job(), host);
    for (const auto* steps : {&plan.cell, &plan.job}) {
      for (const Step& step : *steps) {
        EXPECT_NE(word(step.op), "step");
        EXPECT_EQ(describe(step, plan).find("?"), std::string::npos) << describe(step, plan);
      }
    }
  }
}

TEST(Plan, HostileNamesStayOnOneLine) {
  Job job = plain_job();
  job.mounts = {tmpfs_at("/a\n\033[2Jb")};
  const Plan plan = compiled(job, root_host());
  for (const Step& step : plan.cell) {
    EXPECT_EQ(describe(step, plan).find_first_of("\n\033"), std::string::npos);
  }
}

}  // namespace
}  // namespace casemate
