// engine_test: an engine for one test, jobs in few words, and what must be as before when the test is over.
#pragma once

#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/directories.h"
#include "casemate/engine.h"
#include "cell/host.h"
#include "sanitizer.h"
#include "scratch.h"
#include "sys/cgroup.h"

namespace casemate {

/// Directories named casemate-<pid>-* in any cgroup hierarchy; an empty list where cgroups can't be seen.
inline std::vector<std::string> cgroups_of(pid_t pid) {
  std::vector<std::string> found;
  const std::string prefix = fmt::format("casemate-{}-", pid);
  std::error_code problem;
  for (fs::recursive_directory_iterator at("/sys/fs/cgroup", fs::directory_options::skip_permission_denied, problem), end; at != end;
       at.increment(problem)) {
    if (at.depth() > 6) at.disable_recursion_pending();
    if (at->path().filename().string().starts_with(prefix)) found.push_back(at->path());
  }
  return found;
}

/// Everything below a directory, by path.
inline std::set<std::string> files_below(const fs::path& top) {
  std::set<std::string> found;
  std::error_code problem;
  for (fs::recursive_directory_iterator at(top, fs::directory_options::skip_permission_denied, problem), end; at != end;
       at.increment(problem))
    found.insert(at->path());
  return found;
}

/// What we hold in memory; always 0 under AddressSanitizer, which keeps what was freed and looks for leaks itself.
inline std::uint64_t resident_bytes() {
  if (kAddressSanitizer) return 0;
  unsigned long all = 0;
  unsigned long resident = 0;
  std::sscanf(read("/proc/self/statm").c_str(), "%lu %lu", &all, &resident);
  return static_cast<std::uint64_t>(resident) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// The mounts that name us: a cell's root has the source "casemate", directories of tests have it in their names. Others mount as well,
/// and so do remote engines that run beside.
inline std::string our_mounts() {
  std::istringstream lines(read("/proc/self/mountinfo"));
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("/casemate-casd.") != std::string::npos) continue;
    if (line.find("casemate") != std::string::npos || line.find("/.layers") != std::string::npos) found += line + "\n";
  }
  return found;
}

/// What an engine may not change for good.
struct Traces {
  int fds = open_fds();
  std::string mounts = our_mounts();
  std::vector<std::string> cgroups = cgroups_of(::getpid());
  std::set<std::string> cache = files_below(cache_directory());
};

inline void expect_same(const Traces& before, const Traces& after) {
  EXPECT_EQ(before.fds, after.fds);
  EXPECT_EQ(before.mounts, after.mounts);
  EXPECT_EQ(before.cgroups, after.cgroups);
  EXPECT_EQ(before.cache, after.cache);
}

inline bool has_children() { return ::waitpid(-1, nullptr, WNOHANG | __WALL) == 0; }

/// A listener made of functions.
struct Hears final : JobListener {
  std::function<void(Stream, std::string_view)> on_output = [](Stream, std::string_view) {};
  std::function<void(JobResult)> on_finished = [](JobResult) {};
  void output(Stream stream, std::string_view bytes) override { on_output(stream, bytes); }
  void finished(JobResult result) override { on_finished(std::move(result)); }
};

/// `engine_` is ready; a directory of the host is `dir_`. Ends with a check that nothing of the engine is left.
class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::path(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/var/tmp") / "casemate_engine_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr) << name;
    dir_ = name;
    ::chmod(name.c_str(), 0755);
    before_.emplace();
    make_engine();
    if (IsSkipped() || HasFatalFailure()) return;
    auto result = engine_->run(command({"/bin/true"}));
    if (!result && result.error().code == ErrorCode::not_supported) GTEST_SKIP() << result.error().what;
    ASSERT_TRUE(result) << result.error().what;
    ASSERT_TRUE(result->outcome.succeeded()) << words(result->outcome);
  }

  void TearDown() override {
    engine_.reset();
    EXPECT_FALSE(has_children()) << "a process of the engine is left";
    if (before_) expect_same(*before_, Traces());
    std::error_code problem;
    if (!dir_.empty()) fs::remove_all(dir_, problem);
    EXPECT_FALSE(problem) << problem.message();
  }

  void make_engine(EngineOptions options = {}) {
    engine_.reset();
    auto made = Engine::create(std::move(options));
    if (!made) GTEST_SKIP() << made.error().what;
    engine_ = std::move(*made);
  }

  static Job command(std::vector<std::string> argv) {
    Job job;
    job.argv = std::move(argv);
    job.env = {{"PATH", "/usr/bin:/bin"}};
    job.limits = default_limits();
    return job;
  }
  static Job shell(const std::string& script) { return command({"/bin/sh", "-c", script}); }
  static Job python(const std::string& script) { return command({"/usr/bin/python3", "-c", script}); }

  JobResult run(Job job, JobListener* listener = nullptr) {
    auto result = engine_->run(std::move(job), listener);
    EXPECT_TRUE(result) << result.error().what;
    return result ? std::move(*result) : JobResult{};
  }
  // What a job wrote that has to succeed.
  std::string output(Job job) {
    const JobResult result = run(std::move(job));
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome) << "\n" << result.output.err;
    return result.output.out;
  }

  // Runs `body` in a child process: for what changes the process as a whole. Its EXPECTs count.
  template <class Body>
  static void in_child(Body body) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      body();
      std::fflush(nullptr);
      ::_exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "see above";
  }

  static bool has_ids() { return read_host_facts().uid_map.back().count > 1; }

  std::unique_ptr<Engine> engine_;
  fs::path dir_;
  std::optional<Traces> before_;
};

}  // namespace casemate
