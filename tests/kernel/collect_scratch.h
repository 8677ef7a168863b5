// collect_scratch: an overlay's directories for one test of collect(), and its result in lines.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <gtest/gtest.h>

#include "base/terminal.h"
#include "engine/collect.h"
#include "scratch.h"

namespace casemate {

/// "created file a/b", a line a change: what most tests compare.
inline std::string line(const Change& change) {
  constexpr const char* kKinds[] = {"created", "modified", "deleted"};
  constexpr const char* kTypes[] = {"file", "directory", "symlink", "skipped"};
  return std::string(kKinds[static_cast<int>(change.kind)]) + " " + kTypes[static_cast<int>(change.type)] + " " +
         printable_name(change.path) + (change.reason.empty() ? "" : ": " + change.reason);
}

using Lines = std::vector<std::string>;

inline Lines lines(const CollectedFiles& collected) {
  Lines all;
  for (const Change& change : collected.changes) all.push_back(line(change));
  return all;
}

inline const Change& find(const CollectedFiles& collected, const std::string& path) {
  static const Change kNone{.path = "none"};
  for (const Change& change : collected.changes) {
    if (change.path == path) return change;
  }
  return kNone;
}

/// A fixture with the directories of an overlay, and collect()'s options set for them.
class CollectScratch : public Scratch {
 protected:
  void SetUp() override {
    Scratch::SetUp();
    for (const char* name : {"upper", "lower", "work", "merged"}) fs::create_directory(top_ / name);
    upper_ = top_ / "upper";
    lower_ = top_ / "lower";
    merged_ = top_ / "merged";
    out_ = top_ / "out";
    options_.lower = {lower_};
    options_.destination = out_;
  }

  // Collects, and checks what is true of every collection.
  CollectedFiles collected() {
    const int before = open_fds();
    const UniqueFd upper(::open(upper_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto result = collect(upper.get(), options_);
    EXPECT_EQ(open_fds(), before + 1);
    if (!result) {
      ADD_FAILURE() << result.error().what;
      return {};
    }
    EXPECT_TRUE(
        std::is_sorted(result->changes.begin(), result->changes.end(), [](const Change& a, const Change& b) { return a.path < b.path; }));
    return std::move(*result);
  }

  void whiteout(const fs::path& path) { ASSERT_EQ(::mknod(path.c_str(), S_IFCHR | 0, ::makedev(0, 0)), 0) << std::strerror(errno); }

  // An overlay of lower_ and upper_ at merged_; for use in a mount namespace.
  void mount_overlay(const std::string& lower) {
    const std::string options = "userxattr,lowerdir=" + lower + ",upperdir=" + upper_.string() + ",workdir=" + (top_ / "work").string();
    if (::mount("overlay", merged_.c_str(), "overlay", 0, options.c_str()) < 0) GTEST_SKIP() << "overlay: " << std::strerror(errno);
  }

  fs::path upper_, lower_, merged_, out_;
  CollectOptions options_;
};

}  // namespace casemate
