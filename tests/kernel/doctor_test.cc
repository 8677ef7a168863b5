// What doctor says against what this kernel does when asked without doctor's code, as this user, as nobody, and on hosts made worse on
// purpose.
#include "apps/doctor/doctor.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <nlohmann/json.hpp>

#include "sys/cgroup.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kLeftChildren = 201;
constexpr int kNotPrepared = 202;

struct Report {
  int status = -1;
  std::string text;
};

bool become_nobody() { return ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0; }

// doctor in a child, with its stdout; the child checks that none of its own are left.
Report doctor(const std::vector<std::string>& arguments, const std::function<bool()>& prepare = [] { return true; }) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::close(ends[1]);
    if (!prepare()) ::_exit(kNotPrepared);
    const int status = doctor_main(arguments);
    std::fflush(stdout);
    ::_exit(::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD ? status : kLeftChildren);
  }
  ::close(ends[1]);
  Report report;
  report.text = read_all(ends[0], 1 << 20).value_or("");
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  report.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return report;
}

std::map<std::string, Json> rows_of(const Report& report) {
  std::map<std::string, Json> rows;
  const Json parsed = Json::parse(report.text, nullptr, false);
  EXPECT_TRUE(parsed.is_object()) << report.text;
  if (!parsed.is_object()) return rows;
  bool able = true;
  for (const Json& row : parsed["rows"]) {
    const std::string state = row["state"];
    EXPECT_TRUE(std::set<std::string>({"ok", "fallback", "missing"}).contains(state)) << row;
    EXPECT_EQ(row["fix"].get<std::string>().empty(), state == "ok") << row;
    EXPECT_FALSE(row["meaning"].get<std::string>().empty()) << row;
    EXPECT_TRUE(rows.emplace(row["name"], row).second) << row;
    if (row["required"] && state == "missing") able = false;
  }
  EXPECT_EQ(parsed["can_run"], able);
  EXPECT_EQ(report.status, able ? 0 : 1);
  return rows;
}

// In a child of its own, as nobody if asked: does `body` return true?
bool works(bool as_nobody, const std::function<bool()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit((!as_nobody || become_nobody()) && body() ? 0 : 1);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool put(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY);
  const bool done = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return done;
}

// Root of a user namespace that has the caller's ids only.
bool enter_user_namespace(int more) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  return ::unshare(CLONE_NEWUSER | more) == 0 && put("/proc/self/setgroups", "deny") &&
         put("/proc/self/uid_map", fmt::format("0 {} 1", uid)) && put("/proc/self/gid_map", fmt::format("0 {} 1", gid));
}

void expect_reality(const std::map<std::string, Json>& rows, bool as_nobody) {
  const auto agrees = [&](const char* name, const std::function<bool()>& body) {
    ASSERT_TRUE(rows.contains(name)) << name;
    EXPECT_EQ(rows.at(name)["state"] == "ok", works(as_nobody, body)) << rows.at(name);
  };
  agrees("user namespaces", [] { return enter_user_namespace(0); });
  agrees("mount namespaces", [] { return enter_user_namespace(CLONE_NEWNS); });
  agrees("pid namespaces", [] { return enter_user_namespace(CLONE_NEWPID); });
  agrees("ipc namespaces", [] { return enter_user_namespace(CLONE_NEWIPC); });
  agrees("uts namespaces", [] { return enter_user_namespace(CLONE_NEWUTS); });
  agrees("network namespaces", [] { return enter_user_namespace(CLONE_NEWNET); });
  agrees("cgroup namespaces", [] { return enter_user_namespace(CLONE_NEWCGROUP); });
  agrees("mounting", [] { return enter_user_namespace(CLONE_NEWNS) && ::mount("x", "/tmp", "tmpfs", 0, nullptr) == 0; });
  agrees("overlay", [] {
    return enter_user_namespace(CLONE_NEWNS) && ::mount("x", "/tmp", "tmpfs", 0, nullptr) == 0 && fs::create_directory("/tmp/a") &&
           fs::create_directory("/tmp/b") && fs::create_directory("/tmp/c") &&
           ::mount("overlay", "/tmp/a", "overlay", 0, "lowerdir=/usr,upperdir=/tmp/b,workdir=/tmp/c,userxattr") == 0 &&
           std::ofstream("/tmp/a/new").put('x').flush().good();
  });
  agrees("tun device", [] { return ::open("/dev/net/tun", O_RDWR | O_NONBLOCK) >= 0; });
  agrees("cgroups", [] {
    const auto factory = open_cgroups();
    return factory->support().memory && factory->support().pids && factory->support().cpu && factory->support().io;
  });
}

std::string mounts() { return read_file("/proc/self/mountinfo").value_or(""); }

TEST(Doctor, AgreesWithReality) {
  const std::string before = mounts();
  const Report report = doctor({"--json"});
  expect_reality(rows_of(report), false);
  EXPECT_EQ(mounts(), before);
}

TEST(Doctor, AgreesWithRealityAsNobody) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody";
  const Report report = doctor({"--json"}, become_nobody);
  const auto rows = rows_of(report);
  expect_reality(rows, true);
  ASSERT_TRUE(rows.contains("idmapped mounts") && rows.contains("id ranges"));
  EXPECT_NE(rows.at("idmapped mounts")["state"], "ok") << "never without root";
}

TEST(Doctor, NamesTheSysctlWhereThereAreNoUserNamespaces) {
  const Report report = doctor({"--json"}, [] { return enter_user_namespace(0) && put("/proc/sys/user/max_user_namespaces", "0"); });
  if (report.status == kNotPrepared) GTEST_SKIP() << "no user namespaces here to take away";
  const auto rows = rows_of(report);
  EXPECT_EQ(report.status, 1);
  ASSERT_TRUE(rows.contains("user namespaces"));
  EXPECT_EQ(rows.at("user namespaces")["state"], "missing");
  EXPECT_NE(rows.at("user namespaces")["fix"].get<std::string>().find("user.max_user_namespaces"), std::string::npos)
      << rows.at("user namespaces");
}

TEST(Doctor, UnderNoNewPrivsThereIsOneIdAndCellsAllTheSame) {
  const Report before = doctor({"--json"});
  auto rows = rows_of(before);
  ASSERT_TRUE(rows.contains("id ranges"));
  const bool by_newuidmap = rows.at("id ranges")["meaning"].get<std::string>().starts_with("by newuidmap");
  const Report report = doctor({"--json"}, [] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0; });
  EXPECT_EQ(report.status, before.status);
  rows = rows_of(report);
  expect_reality(rows, false);
  if (!by_newuidmap) GTEST_SKIP() << "these cells' ids do not come from newuidmap";
  EXPECT_EQ(rows.at("id ranges")["state"], "fallback") << rows.at("id ranges");
  EXPECT_NE(rows.at("id ranges")["fix"].get<std::string>().find("no_new_privs"), std::string::npos) << rows.at("id ranges");
}

TEST(Doctor, SeesAMaskedProcAsContainersHaveIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount over parts of /proc";
  const Report report = doctor({"--json"}, [] {
    return ::unshare(CLONE_NEWNS) == 0 && ::mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("x", "/proc/fs", "tmpfs", MS_RDONLY, nullptr) == 0;
  });
  ASSERT_NE(report.status, kNotPrepared);
  const auto rows = rows_of(report);
  EXPECT_EQ(report.status, 1);
  ASSERT_TRUE(rows.contains("proc"));
  EXPECT_EQ(rows.at("proc")["state"], "missing");
  EXPECT_NE(rows.at("proc")["fix"].get<std::string>().find("systempaths=unconfined"), std::string::npos);
}

TEST(Doctor, AdvisesNothingThatNothingUsesYet) {
  const auto rows = rows_of(doctor({"--json"}));
  EXPECT_FALSE(rows.contains("docker"));
  for (const auto& [name, row] : rows) EXPECT_EQ(row["fix"].get<std::string>().find("dockerd"), std::string::npos) << row;
}

TEST(Doctor, TableHasColourOnlyWhenAsked) {
  const Report plain = doctor({});
  EXPECT_EQ(plain.text.find('\x1b'), std::string::npos) << "stdout is a pipe";
  EXPECT_NE(plain.text.find("user namespaces"), std::string::npos);
  EXPECT_NE(doctor({"--color", "always"}).text.find('\x1b'), std::string::npos);
}

TEST(Doctor, WrongUsageIs125) {
  EXPECT_EQ(doctor({"--nonsense"}).status, 125);
  EXPECT_EQ(doctor({"--color", "pink"}).status, 125);
  const Report help = doctor({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.text.find("--json"), std::string::npos);
}

}  // namespace
}  // namespace casemate
