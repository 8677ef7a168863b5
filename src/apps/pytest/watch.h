// watch: waits until somebody edits a file of a project.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// The files of a directory tree, through inotify(7). Left out: what version control, Python, test tools and editors keep for themselves
/// (.git, __pycache__, .pytest_cache, node_modules, swap files), virtual environments, symlinks, and the paths that are named. At most 8192
/// directories and 200,000 files are watched.
class ProjectWatch {
 public:
  /// system: the kernel has no inotify instance or watch left (fs.inotify.max_user_watches); says so.
  static Result<ProjectWatch> begin(const std::string& directory, std::vector<std::string> left_out);

  /// Readable when something may have happened.
  [[nodiscard]] int fd() const { return inotify_.get(); }
  /// Takes what happened; a file that was really changed, made, renamed or removed since begin() or the last call, "" if there is none.
  std::string changed();
  /// Whether not all of the project is watched.
  [[nodiscard]] bool is_partial() const { return partial_; }

 private:
  struct Stamp {
    std::uint64_t inode = 0;
    std::int64_t size = 0;
    std::int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  explicit ProjectWatch(std::vector<std::string> left_out) : left_out_(std::move(left_out)) {}
  Result<void> add(const std::string& directory, std::vector<std::string>* found);
  std::string take_events(const char* events, std::size_t size);
  std::string look_at(const std::string& path);
  std::string forget_below(const std::string& directory);
  [[nodiscard]] bool is_left_out(const std::string& path) const;

  std::string root_;
  std::vector<std::string> left_out_;
  UniqueFd inotify_;
  std::unordered_map<int, std::string> directories_;  // by watch
  std::unordered_map<std::string, Stamp> files_;
  bool partial_ = false;
};

}  // namespace casemate
