#include "sys/probe.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using State = HostFeature::State;

TEST(Probe, KernelReleases) {
  EXPECT_EQ(kernel_feature("6.18.44-fc").state, State::ok);
  EXPECT_EQ(kernel_feature("6.6.0").state, State::ok);
  EXPECT_EQ(kernel_feature("7.0-rc1").state, State::ok);
  EXPECT_EQ(kernel_feature("6.1.0-18-amd64").state, State::fallback);
  EXPECT_EQ(kernel_feature("5.12.0").state, State::fallback);
  EXPECT_NE(kernel_feature("5.12.0").meaning.find("cgroup.kill"), std::string::npos);
  EXPECT_EQ(kernel_feature("6.1.0").meaning.find("cgroup.kill"), std::string::npos);
  EXPECT_EQ(kernel_feature("5.11.99").state, State::missing);
  EXPECT_EQ(kernel_feature("4.19.0").state, State::missing);
  EXPECT_EQ(kernel_feature("windows").state, State::fallback);
  for (const char* release : {"6.18.44", "6.1.0", "5.4.0", ""}) {
    const HostFeature row = kernel_feature(release);
    EXPECT_EQ(row.fix.empty(), row.state == State::ok) << release;
  }
}

TEST(Probe, TheFixNamesWhatSaidNo) {
  const auto says = [](int problem, const NamespaceSettings& settings, const char* part) {
    const std::string fix = namespace_fix(problem, settings);
    EXPECT_NE(fix.find(part), std::string::npos) << fix;
  };
  NamespaceSettings settings;
  settings.max_user_namespaces = 10000;
  says(EPERM, settings, "security module");
  says(EINVAL, settings, "CONFIG_USER_NS");
  says(ENOSPC, settings, "max_*_namespaces");
  settings.seccomp_filtered = true;
  says(EPERM, settings, "seccomp=unconfined");
  settings.apparmor_restrict = 1;
  says(EACCES, settings, "apparmor_restrict_unprivileged_userns=0");
  settings.unprivileged_userns_clone = 0;
  says(EPERM, settings, "unprivileged_userns_clone=1");
  settings.root = true;  // both hold back unprivileged users only
  says(EPERM, settings, "seccomp=unconfined");
  settings.max_user_namespaces = 0;
  says(ENOSPC, settings, "max_user_namespaces=10000");
}

}  // namespace
}  // namespace casemate
