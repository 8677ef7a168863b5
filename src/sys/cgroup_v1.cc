#include "sys/cgroup_v1.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "sys/cgroup_directory.h"

namespace casemate {
namespace {

// blkio.throttle.io_service_bytes_recursive has lines "8:0 Read 4096" and one "Total 4096".
std::uint64_t sum_of(std::string_view text, std::string_view operation) {
  std::uint64_t sum = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (const auto space = line.find(' '); space != std::string_view::npos)
      sum += keyed_number(line.substr(space + 1), operation).value_or(0);
  }
  return sum;
}

}  // namespace

Result<void> open_v1(V1Hierarchy& hierarchy) {
  if (hierarchy.directory) return {};
  TRY_ASSIGN(UniqueFd directory, open_file(hierarchy.path, O_PATH | O_DIRECTORY));
  struct statfs info{};
  if (::fstatfs(directory.get(), &info) < 0) return fail_errno("look at " + hierarchy.path);
  if (info.f_type != CGROUP_SUPER_MAGIC) return fail(ErrorCode::not_supported, hierarchy.path + " is not a cgroup v1 directory");
  hierarchy.directory = std::move(directory);
  return {};
}

Result<V1Directory> V1Directory::create(const std::shared_ptr<V1Hierarchy>& shared, const std::string& name, const CgroupLimits& limits) {
  V1Hierarchy& hierarchy = *shared;
  TRY(open_v1(hierarchy));
  if (::mkdirat(hierarchy.directory.get(), name.c_str(), 0700) < 0)
    return fail_errno(fmt::format("make the cgroup {}/{}", hierarchy.path, name));
  V1Directory made(shared, name);
  TRY(made.set_limits(limits));
  // The kernel judges a write by who opened the file (CVE-2021-4197), so a child that has given up everything can still enter.
  made.entry_.reset(::openat(hierarchy.directory.get(), made.inside("tasks").c_str(), O_WRONLY | O_CLOEXEC));
  if (!made.entry_) return fail_errno(fmt::format("open {}/{}/tasks", hierarchy.path, name));
  return made;
}

V1Directory::~V1Directory() { remove(); }

Result<void> V1Directory::write(const char* file, const std::string& value) {
  const int problem = write_control(hierarchy_->directory.get(), inside(file), value);
  if (problem != 0) return fail_errno(fmt::format("write {} to {}/{}/{}", value, hierarchy_->path, name_, file), problem);
  return {};
}

Result<void> V1Directory::set_limits(const CgroupLimits& limits) {
  const CgroupControllers controllers = hierarchy_->controllers;
  if ((controllers & kCgroupMemory) && limits.memory_bytes) {
    const std::string bytes = std::to_string(*limits.memory_bytes);
    TRY(write("memory.limit_in_bytes", bytes));
    if (hierarchy_->memsw) {  // memory and swap together; may not be below the limit of memory, so it comes second
      const int problem = write_control(hierarchy_->directory.get(), inside("memory.memsw.limit_in_bytes"), bytes);
      if (problem == ENOENT || problem == EOPNOTSUPP) {
        hierarchy_->memsw = false;
      } else if (problem != 0) {
        return fail_errno(fmt::format("write {} to {}/{}/memory.memsw.limit_in_bytes", bytes, hierarchy_->path, name_), problem);
      }
    }
  }
  if ((controllers & kCgroupPids) && limits.pids) TRY(write("pids.max", std::to_string(*limits.pids)));
  if ((controllers & kCgroupCpu) && limits.cpus) {
    // cpu.cfs_period_us is 100000 in a new cgroup; the kernel takes no quota under 1000.
    TRY(write("cpu.cfs_quota_us", std::to_string(std::max<long long>(1000, std::llround(*limits.cpus * 100'000)))));
  }
  return {};
}

void V1Directory::read_usage(CgroupUsage& usage) const {
  const int top = hierarchy_->directory.get();
  if (name_.empty()) return;
  if (hierarchy_->controllers & kCgroupMemory) {
    usage.peak_memory_bytes = read_control_number(top, inside("memory.max_usage_in_bytes"));
    usage.oom_kills = keyed_number(read_control(top, inside("memory.oom_control")).value_or(""), "oom_kill");
  }
  if (hierarchy_->controllers & kCgroupPids) {
    usage.pids_refused = keyed_number(read_control(top, inside("pids.events")).value_or(""), "max");
    usage.peak_pids = read_control_number(top, inside("pids.peak"));
    // It can't be set back: one that has not grown since says nothing of these processes.
    if (usage.peak_pids && usage.peak_pids <= peak_before_) usage.peak_pids.reset();
  }
  if (hierarchy_->controllers & kCgroupCpuacct) {
    // Not cpuacct.stat: it counts in hundredths of a second. user and sys are guessed at each tick, and miss much on a busy machine: they
    // say how the exact sum is to be split, as the kernel does it for times(2).
    const auto user = read_control_number(top, inside("cpuacct.usage_user"));
    const auto system = read_control_number(top, inside("cpuacct.usage_sys"));
    if (const auto all = cpu_us(); all && user && system) {
      const double share = *system == 0 ? 0 : static_cast<double>(*system) / (static_cast<double>(*user) + static_cast<double>(*system));
      usage.system_cpu_us = static_cast<std::uint64_t>(share * static_cast<double>(*all));
      usage.user_cpu_us = *all - *usage.system_cpu_us;
    }
  }
  if (hierarchy_->controllers & kCgroupIo) {
    if (const auto text = read_control(top, inside("blkio.throttle.io_service_bytes_recursive"))) {
      usage.read_bytes = sum_of(*text, "Read");
      usage.written_bytes = sum_of(*text, "Write");
    }
  }
}

bool V1Directory::renew(const CgroupUsage& used) {
  constexpr std::uint64_t kMostCharged = 4 << 20;
  constexpr CgroupControllers kCounting = kCgroupCpuacct | kCgroupIo;  // what has been counted stays
  const int top = hierarchy_->directory.get();
  if (name_.empty() || (hierarchy_->controllers & kCounting) != 0) return false;
  if (used.oom_kills.value_or(0) > 0 || used.pids_refused.value_or(0) > 0) return false;
  if (used.peak_pids) peak_before_ = used.peak_pids;
  if (!(hierarchy_->controllers & kCgroupMemory)) return true;
  if (read_control_number(top, inside("memory.usage_in_bytes")).value_or(UINT64_MAX) > kMostCharged) return false;
  return forget_memory_peak();
}

bool V1Directory::forget_memory_peak() const {
  if (!(hierarchy_->controllers & kCgroupMemory) || name_.empty()) return false;
  return write_control(hierarchy_->directory.get(), inside("memory.max_usage_in_bytes"), "0") == 0;
}

std::optional<std::uint64_t> V1Directory::cpu_us() const {
  if (!(hierarchy_->controllers & kCgroupCpuacct) || name_.empty()) return std::nullopt;
  const auto ns = read_control_number(hierarchy_->directory.get(), inside("cpuacct.usage"));
  return ns ? std::optional(*ns / 1000) : std::nullopt;
}

void V1Directory::kill_all() {
  if (!name_.empty()) kill_cgroup(hierarchy_->directory.get(), name_);
}

bool V1Directory::remove() {
  if (name_.empty()) return true;
  entry_.reset();
  if (!remove_cgroup(hierarchy_->directory.get(), name_)) return false;
  name_.clear();
  return true;
}

}  // namespace casemate
