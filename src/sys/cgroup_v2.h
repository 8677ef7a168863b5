// cgroup_v2: where on the unified hierarchy an engine may make cells, and one cell's directory there.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "sys/cgroup.h"
#include "sys/cgroup_layout.h"
#include "sys/fd.h"

namespace casemate {

/// The cgroup below which cells' directories are made.
struct V2Parent {
  std::string path;
  UniqueFd directory;               ///< O_PATH
  CgroupControllers available = 0;  ///< in cgroup.controllers
  CgroupControllers enabled = 0;    ///< in cgroup.subtree_control: what its children have
  /// Put the cell one level below its limits. Needed where the cell's root is the very user that owns the limits' files and the file system
  /// is mounted without nsdelegate: with a cgroup namespace of its own it could mount cgroup2 and raise them.
  bool hide_limits = false;
};

/// Finds that cgroup. "No internal processes" (cgroups(7)): a cgroup other than the root can't have both processes and controllers for its
/// children. So, from the process's own cgroup upwards, the first that may be written and
///  - has memory or pids enabled for its children already, or
///  - is the root of the whole hierarchy (root only) or has been delegated, and lets us enable them; if it is our own cgroup and we are
///  alone
///    in it, by moving this process into a leaf `leaf_name` below first.
/// Fails with not_supported and what to do about it.
Result<V2Parent> open_v2_parent(const CgroupPlace& place, const std::string& leaf_name);

/// Makes sure that children of the parent have these controllers; those that they still lack are given back.
CgroupControllers enable_v2(V2Parent& parent, CgroupControllers wanted);

/// Writes the limits into an existing cgroup directory, `name` below `parent`.
Result<void> write_v2_limits(int parent, const std::string& name, const CgroupLimits& limits);
/// Reads what was counted; controllers that are not there stay unset.
[[nodiscard]] CgroupUsage read_v2_usage(int parent, const std::string& name);

/// The directory of one cell. Owner: the destructor kills what is inside and removes it.
class V2Directory {
 public:
  static Result<V2Directory> create(const std::shared_ptr<V2Parent>& parent, const std::string& name, const CgroupLimits& limits);
  V2Directory(V2Directory&& other) noexcept
      : parent_(std::move(other.parent_)), name_(std::exchange(other.name_, {})), cell_(std::move(other.cell_)) {}
  V2Directory& operator=(V2Directory&&) = delete;
  ~V2Directory();

  /// For clone3(CLONE_INTO_CGROUP).
  [[nodiscard]] int fd() const { return cell_.get(); }
  [[nodiscard]] CgroupUsage usage() const { return name_.empty() ? CgroupUsage() : read_v2_usage(parent_->directory.get(), name_); }
  [[nodiscard]] std::optional<std::uint64_t> cpu_us() const;
  void kill_all();
  bool remove();

 private:
  V2Directory(std::shared_ptr<V2Parent> parent, std::string name) : parent_(std::move(parent)), name_(std::move(name)) {}

  std::shared_ptr<V2Parent> parent_;  ///< shared, so that a cell may outlive its factory
  std::string name_;                  ///< "" when removed or moved from
  UniqueFd cell_;
};

}  // namespace casemate
