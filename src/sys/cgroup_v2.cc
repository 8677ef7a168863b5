#include "sys/cgroup_v2.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "sys/cgroup_directory.h"

namespace casemate {
namespace {

constexpr const char* kDelegateHint = "run it as `systemd-run --user --scope -p Delegate=yes casemate ...`";

bool writable(const std::string& path) { return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0; }

// systemd marks what it delegated (user.delegate since 249, trusted.delegate before); a cgroup that belongs to an unprivileged user, or
// that is the top of what a container sees, has been given away too.
bool delegated(const std::string& path, bool top_of_mount) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && ::geteuid() != 0 && info.st_uid == ::geteuid()) return true;
  char mark[2] = {};
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    if (::getxattr(path.c_str(), name, mark, sizeof mark) == 1 && mark[0] == '1') return true;
  }
  return top_of_mount;
}

// Nobody but this process is in the cgroup.
bool alone(int directory) {
  const auto processes = read_control(directory, "cgroup.procs");
  return processes && *processes == std::to_string(::getpid()) + "\n";
}

bool move_to_leaf(int directory, const std::string& leaf) {
  if (::mkdirat(directory, leaf.c_str(), 0700) < 0 && errno != EEXIST) return false;
  if (write_control(directory, leaf + "/cgroup.procs", "0") == 0) return true;
  ::unlinkat(directory, leaf.c_str(), AT_REMOVEDIR);
  return false;
}

enum class Fit { yes, no_controllers, others_inside, not_delegated };

// Tries one cgroup as the parent.
Fit try_parent(V2Parent& parent, bool own, bool top, const std::string& leaf) {
  const int at = parent.directory.get();
  parent.available = cgroup_controllers(read_control(at, "cgroup.controllers").value_or(""));
  parent.enabled = cgroup_controllers(read_control(at, "cgroup.subtree_control").value_or(""));
  const CgroupControllers wanted = (kCgroupMemory | kCgroupPids) & parent.available;
  if (wanted == 0) return Fit::no_controllers;
  if ((parent.enabled & wanted) == wanted) return Fit::yes;
  // Only cgroups below the root have a type.
  const bool root = ::faccessat(at, "cgroup.type", F_OK, 0) != 0;
  if (root ? ::geteuid() != 0 : !delegated(parent.path, top)) return (parent.enabled & wanted) ? Fit::yes : Fit::not_delegated;
  if (own && !root) {
    if (!alone(at)) return Fit::others_inside;
    if (!move_to_leaf(at, leaf)) return Fit::not_delegated;
  }
  enable_v2(parent, wanted);
  return (parent.enabled & wanted) ? Fit::yes : Fit::others_inside;
}

std::string why_not(Fit fit, const std::string& path) {
  switch (fit) {
    case Fit::no_controllers:
      return fmt::format("no memory or pids controller is available in {}; {}", path, kDelegateHint);
    case Fit::others_inside:
      return fmt::format(
          "the cgroup {} has other processes in it, which keeps the kernel from giving limits to groups below it; {}, or in a container "
          "move them: "
          "`mkdir /sys/fs/cgroup/init && xargs -n1 < /sys/fs/cgroup/cgroup.procs > /sys/fs/cgroup/init/cgroup.procs`",
          path, kDelegateHint);
    default:
      return fmt::format("the cgroup {} is not delegated to this user; {}", path, kDelegateHint);
  }
}

}  // namespace

Result<V2Parent> open_v2_parent(const CgroupPlace& place, const std::string& leaf_name) {
  std::string first_reason;
  std::string path = place.own;
  // We (or the process that started us) moved into this leaf before.
  const auto name = parse_cgroup_name(std::string_view(path).substr(path.rfind('/') + 1));
  if (path != place.top && name && name->serial == 0) path.resize(path.rfind('/'));
  for (;; path.resize(path.rfind('/'))) {
    const bool top = path == place.top;
    // A move needs write access to the common ancestor of both ends too, which is this cgroup or one below it.
    if (!writable(path) || !writable(path + "/cgroup.procs")) {
      if (first_reason.empty()) first_reason = why_not(Fit::not_delegated, path);
      break;
    }
    V2Parent parent;
    parent.path = path;
    parent.hide_limits = !place.nsdelegate && ::geteuid() != 0;
    TRY_ASSIGN(parent.directory, open_file(path, O_PATH | O_DIRECTORY));
    const Fit fit = try_parent(parent, path == place.own, top, leaf_name);
    if (fit == Fit::yes) return parent;
    if (first_reason.empty()) first_reason = why_not(fit, path);
    if (top) break;
  }
  return fail(ErrorCode::not_supported, first_reason);
}

CgroupControllers enable_v2(V2Parent& parent, CgroupControllers wanted) {
  constexpr std::pair<CgroupControllers, const char*> kNames[] = {
      {kCgroupMemory, "+memory"}, {kCgroupPids, "+pids"}, {kCgroupCpu, "+cpu"}, {kCgroupIo, "+io"}};
  for (const auto& [bit, name] : kNames) {
    if (!(wanted & bit) || (parent.enabled & bit) || !(parent.available & bit)) continue;
    if (write_control(parent.directory.get(), "cgroup.subtree_control", name) == 0) parent.enabled |= bit;
  }
  return wanted & ~parent.enabled;
}

Result<void> write_v2_limits(int parent, const std::string& name, const CgroupLimits& limits) {
  const auto write = [&](const char* file, const std::string& value) -> Result<void> {
    const int problem = write_control(parent, name + '/' + file, value);
    if (problem != 0) return fail_errno(fmt::format("write {} to {}/{}", value, name, file), problem);
    return {};
  };
  // memory.oom.group stays 0, its default: only the process that asked for too much dies, and the job may handle that.
  if (limits.memory_bytes) {
    TRY(write("memory.max", std::to_string(*limits.memory_bytes)));
    const auto no_swap = write("memory.swap.max", "0");
    if (!no_swap && no_swap.error().errno_value != ENOENT) return no_swap;  // missing: the kernel counts no swap, or has none
  }
  if (limits.pids) TRY(write("pids.max", std::to_string(*limits.pids)));
  if (limits.cpus) TRY(write("cpu.max", fmt::format("{} 100000", std::max<long long>(1000, std::llround(*limits.cpus * 100'000)))));
  return {};
}

CgroupUsage read_v2_usage(int parent, const std::string& name) {
  const auto text = [&](const char* file) { return read_control(parent, name + '/' + file).value_or(""); };
  CgroupUsage usage;
  usage.peak_memory_bytes = read_control_number(parent, name + "/memory.peak");  // Linux 5.19
  usage.oom_kills = keyed_number(text("memory.events"), "oom_kill");
  usage.pids_refused = keyed_number(text("pids.events"), "max");
  usage.peak_pids = read_control_number(parent, name + "/pids.peak");  // Linux 6.6
  const std::string cpu = text("cpu.stat");
  usage.user_cpu_us = keyed_number(cpu, "user_usec");
  usage.system_cpu_us = keyed_number(cpu, "system_usec");
  if (auto io = read_control(parent, name + "/io.stat")) {
    // Lines "8:0 rbytes=1 wbytes=2 rios=...": one pair a line serves the same reader as the other files.
    std::replace(io->begin(), io->end(), ' ', '\n');
    std::replace(io->begin(), io->end(), '=', ' ');
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    for (std::string_view rest = *io; !rest.empty();) {
      const auto end = rest.find('\n');
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      read += keyed_number(line, "rbytes").value_or(0);
      written += keyed_number(line, "wbytes").value_or(0);
    }
    usage.read_bytes = read;
    usage.written_bytes = written;
  }
  return usage;
}

Result<V2Directory> V2Directory::create(const std::shared_ptr<V2Parent>& shared, const std::string& name, const CgroupLimits& limits) {
  V2Parent& parent = *shared;
  const int top = parent.directory.get();
  if (limits.cpus && enable_v2(parent, kCgroupCpu) != 0) {
    return fail(ErrorCode::not_supported,
                fmt::format("the cpu controller can't be enabled below {}; run without a cpu limit", parent.path));
  }
  if (limits.count_io) enable_v2(parent, kCgroupIo);
  if (::mkdirat(top, name.c_str(), 0700) < 0) return fail_errno(fmt::format("make the cgroup {}/{}", parent.path, name));
  V2Directory made(shared, name);
  TRY(write_v2_limits(top, name, limits));
  std::string cell = name;
  if (parent.hide_limits) {
    cell += "/cell";
    if (::mkdirat(top, cell.c_str(), 0700) < 0) return fail_errno(fmt::format("make the cgroup {}/{}", parent.path, cell));
  }
  made.cell_.reset(::openat(top, cell.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!made.cell_) return fail_errno(fmt::format("open the cgroup {}/{}", parent.path, cell));
  return made;
}

V2Directory::~V2Directory() { remove(); }

std::optional<std::uint64_t> V2Directory::cpu_us() const {
  if (name_.empty()) return std::nullopt;
  return keyed_number(read_control(parent_->directory.get(), name_ + "/cpu.stat").value_or(""), "usage_usec");
}

void V2Directory::kill_all() {
  if (!name_.empty()) kill_cgroup(parent_->directory.get(), name_);
}

bool V2Directory::remove() {
  if (name_.empty()) return true;
  cell_.reset();
  const int top = parent_->directory.get();
  if (parent_->hide_limits) ::unlinkat(top, (name_ + "/cell").c_str(), AT_REMOVEDIR);
  if (!remove_cgroup(top, name_)) return false;
  name_.clear();
  return true;
}

}  // namespace casemate
