#include "sys/cgroup_layout.h"

#include <gtest/gtest.h>

#include "sys/cgroup_directory.h"

namespace casemate {
namespace {

std::vector<CgroupPlace> places(std::string_view memberships, std::string_view mountinfo) {
  return cgroup_places(parse_cgroup_memberships(memberships), parse_cgroup_mounts(mountinfo));
}

TEST(CgroupLayout, PureV2WithNsdelegate) {
  const auto found =
      places("0::/user.slice/user-1000.slice/session-2.scope\n",
             "24 29 0:22 / /proc rw,nosuid shared:14 - proc proc rw\n"
             "35 26 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].v2);
  EXPECT_TRUE(found[0].nsdelegate);
  EXPECT_FALSE(found[0].read_only);
  EXPECT_EQ(found[0].top, "/sys/fs/cgroup");
  EXPECT_EQ(found[0].own, "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope");
}

TEST(CgroupLayout, DelegatedUserSliceHasEscapedNames) {
  // systemd escapes in unit names, mountinfo escapes in paths: the first stays, the second goes.
  const auto found = places("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r\\x2d7:b.scope\n",
                            "35 26 0:30 / /mnt/my\\040cgroups rw - cgroup2 none rw\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].own, "/mnt/my cgroups/user.slice/user-1000.slice/user@1000.service/app.slice/run-r\\x2d7:b.scope");
  EXPECT_FALSE(found[0].nsdelegate);
}

TEST(CgroupLayout, V1CoMountedControllersAreOnePlace) {
  const auto found = places(
      "12:pids:/user.slice\n11:cpu,cpuacct:/user.slice\n5:net_cls,net_prio:/\n4:memory:/user.slice\n3:blkio:/user.slice\n1:name=systemd:/"
      "u\n0::/u\n",
      "31 24 0:26 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
      "35 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct\n"
      "36 24 0:31 / /sys/fs/cgroup/net_cls,net_prio rw - cgroup cgroup rw,net_cls,net_prio\n"
      "37 24 0:32 / /sys/fs/cgroup/memory rw shared:17 master:3 - cgroup cgroup rw,memory\n"
      "38 24 0:33 / /sys/fs/cgroup/pids rw shared:18 - cgroup cgroup rw,pids\n"
      "39 24 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n");
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].controllers, kCgroupPids);
  EXPECT_EQ(found[1].controllers, kCgroupCpu | kCgroupCpuacct);
  EXPECT_EQ(found[1].own, "/sys/fs/cgroup/cpu,cpuacct/user.slice");
  EXPECT_EQ(found[2].controllers, kCgroupMemory);
  EXPECT_TRUE(found[3].v2);  // blkio is not mounted, so it is no place
}

TEST(CgroupLayout, DockerInDockerSeesItsOwnPartOfTheTree) {
  // No cgroup namespace: the path is the host's, and the mount's root says which part of it is at the mount point.
  const auto inner = places("4:memory:/docker/aaa/docker/bbb\n0::/\n",
                            "1 2 0:32 /docker/aaa/docker/bbb /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n");
  ASSERT_EQ(inner.size(), 1u);
  EXPECT_EQ(inner[0].own, "/sys/fs/cgroup/memory");
  EXPECT_TRUE(inner[0].read_only);
  const auto child = places("4:memory:/docker/aaa/docker/bbb/job\n", "1 2 0:32 /docker/aaa/docker/bbb /cg rw - cgroup cgroup rw,memory\n");
  ASSERT_EQ(child.size(), 1u);
  EXPECT_EQ(child[0].own, "/cg/job");
  // Another container's mount does not show our cgroup, though its name begins with the same letters.
  EXPECT_TRUE(places("4:memory:/docker/aaab\n", "1 2 0:32 /docker/aaa /cg rw - cgroup cgroup rw,memory\n").empty());
}

TEST(CgroupLayout, AMountThatMayBeWrittenWins) {
  const auto found =
      places("4:memory:/x\n",
             "1 2 0:32 / /ro ro - cgroup cgroup rw,memory\n1 2 0:32 / /rw rw - cgroup cgroup rw,memory\n1 2 0:32 / /also rw - cgroup c "
             "rw,memory\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].own, "/rw/x");
}

TEST(CgroupLayout, WhatIsNotUnderstoodIsLeftOut) {
  EXPECT_TRUE(parse_cgroup_memberships("").empty());
  EXPECT_TRUE(parse_cgroup_memberships("\n\nx\n0:\n0::\n:memory:/\n4:memory:relative\n4::/a\n").empty());
  EXPECT_TRUE(parse_cgroup_memberships("0::/gone (deleted)\n").empty());
  EXPECT_TRUE(parse_cgroup_memberships("0::/../sibling\n").empty());  // outside of our cgroup namespace
  EXPECT_TRUE(parse_cgroup_mounts("").empty());
  EXPECT_TRUE(parse_cgroup_mounts("1 2 3\n1 2 0:3 / /x rw - \n1 2 0:3 / /x rw shared:1\n1 2 0:3 / relative rw - cgroup2 c rw").empty());
}

TEST(CgroupLayout, NamesRoundTrip) {
  EXPECT_EQ(format_cgroup_name({12, 345, 6, 0}), "casemate-12-345-6");
  const auto name = parse_cgroup_name(format_cgroup_name({12, 345, 6, 4026532000}));
  ASSERT_TRUE(name);
  EXPECT_EQ(name->pid, 12);
  EXPECT_EQ(name->start_time, 345u);
  EXPECT_EQ(name->serial, 6u);
  EXPECT_EQ(name->pid_namespace, 4026532000u);
  for (const char* wrong :
       {"", "casemate-", "casemate-1", "casemate-1-2", "casemate-1-2-", "casemate--1-2-3", "casemate-1-2-3-", "casemate-1-2-3x",
        "casemate-1-2-3-4-5", "casemate-0-2-3", "casemate-99999999999-2-3", "docker-1-2-3", "casemate-1-2-99999999999999999999999"}) {
    EXPECT_FALSE(parse_cgroup_name(wrong)) << wrong;
  }
}

TEST(CgroupLayout, StartTimeSurvivesHostileProcessNames) {
  const std::string tail = " S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 4711 1 2 3\n";
  EXPECT_EQ(parse_start_time("12 (a b) Z 1) " + tail.substr(1)), 4711u);
  EXPECT_EQ(parse_start_time("12 (cat)" + tail), 4711u);
  // A zombie with no thread left is dead; a main thread that ended before the others is not.
  EXPECT_FALSE(parse_start_time("12 (cat) Z 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1\n"));
  EXPECT_EQ(parse_start_time("12 (cat) Z 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 2 0 4711 1\n"), 4711u);
  EXPECT_FALSE(parse_start_time(""));
  EXPECT_FALSE(parse_start_time("12 (cat)"));
  EXPECT_FALSE(parse_start_time("12 (cat) S 1 2"));
}

TEST(CgroupLayout, KeyedNumbersNeedTheWholeKey) {
  const std::string events = "low 0\noom 2\noom_kill 7\noom_kill_x 9\nmax\n";
  EXPECT_EQ(keyed_number(events, "oom"), 2u);
  EXPECT_EQ(keyed_number(events, "oom_kill"), 7u);
  EXPECT_FALSE(keyed_number(events, "max"));
  EXPECT_FALSE(keyed_number(events, "kill"));
  EXPECT_FALSE(keyed_number("", "max"));
}

}  // namespace
}  // namespace casemate
