// cgroup_v1: one cell's directory in one hierarchy of cgroup v1, which serves one controller or several that are mounted together.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "sys/cgroup.h"
#include "sys/cgroup_layout.h"
#include "sys/fd.h"

namespace casemate {

/// One v1 hierarchy, and in it the place where cells' directories are made: the engine's own cgroup, so that its limits hold for cells too.
struct V1Hierarchy {
  CgroupControllers controllers = 0;
  std::string path;
  UniqueFd directory;  ///< O_PATH; opened when first used
  bool memsw = true;   ///< memory.memsw.* may exist; false once it was found missing
};

/// Opens `hierarchy.directory` if it is not open. Fails where the path is no cgroup v1 directory.
Result<void> open_v1(V1Hierarchy& hierarchy);

/// The directory of one cell below one hierarchy. Owner: the destructor kills what is inside and removes it.
class V1Directory {
 public:
  /// Makes `name` with those of the limits that the hierarchy's controllers are for.
  static Result<V1Directory> create(const std::shared_ptr<V1Hierarchy>& hierarchy, const std::string& name, const CgroupLimits& limits);
  V1Directory(V1Directory&& other) noexcept
      : hierarchy_(std::move(other.hierarchy_)),
        name_(std::exchange(other.name_, {})),
        entry_(std::move(other.entry_)),
        peak_before_(other.peak_before_) {}
  V1Directory& operator=(V1Directory&&) = delete;
  ~V1Directory();

  /// `tasks`, open for writing.
  [[nodiscard]] int entry_fd() const { return entry_.get(); }
  [[nodiscard]] CgroupControllers controllers() const { return hierarchy_->controllers; }
  /// Fills in what this hierarchy's controllers counted.
  void read_usage(CgroupUsage& usage) const;
  [[nodiscard]] std::optional<std::uint64_t> cpu_us() const;
  /// As Cgroup::renew().
  bool renew(const CgroupUsage& used);
  /// As Cgroup::forget_memory_peak().
  [[nodiscard]] bool forget_memory_peak() const;
  void kill_all();
  /// True when it is gone; then nothing is left for the destructor.
  bool remove();

 private:
  V1Directory(std::shared_ptr<V1Hierarchy> hierarchy, std::string name) : hierarchy_(std::move(hierarchy)), name_(std::move(name)) {}
  Result<void> set_limits(const CgroupLimits& limits);
  Result<void> write(const char* file, const std::string& value);
  [[nodiscard]] std::string inside(const char* file) const { return name_ + '/' + file; }

  std::shared_ptr<V1Hierarchy> hierarchy_;  ///< shared, so that a cell may outlive its factory
  std::string name_;                        ///< "" when removed or moved from
  UniqueFd entry_;
  std::optional<std::uint64_t> peak_before_;  ///< pids.peak when it was renewed
};

}  // namespace casemate
