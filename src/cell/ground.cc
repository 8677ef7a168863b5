#include "cell/ground.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <sys/resource.h>

#include "base/terminal.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace casemate {
namespace {

Result<void> write_file(const std::string& path, std::string_view text) {
  TRY_ASSIGN(UniqueFd fd, open_file(path, O_WRONLY));
  return write_all(fd.get(), text);
}

// Whether /proc/PID/uid_map or gid_map has these rows (user_namespaces(7): as seen from our own namespace).
bool is_written(const std::string& path, const std::vector<HostFacts::IdMap>& map) {
  using Row = std::array<unsigned, 3>;
  const std::string text = read_file(path, 64 << 10).value_or("");
  std::vector<Row> found;
  std::vector<Row> wanted;
  int length = 0;
  Row row{};
  for (const char* at = text.c_str(); std::sscanf(at, "%u %u %u%n", &row[0], &row[1], &row[2], &length) == 3; at += length)
    found.push_back(row);
  for (const auto& each : map) wanted.push_back({each.inside, each.outside, each.count});
  return std::is_permutation(found.begin(), found.end(), wanted.begin(), wanted.end());  // the kernel sorts long ones
}

Result<void> write_map_with(const char* program, const char* file, pid_t pid, const std::vector<HostFacts::IdMap>& map) {
  std::vector<std::string> argv = {program, std::to_string(pid)};
  for (const auto& row : map) {
    for (const std::uint32_t number : {row.inside, row.outside, row.count}) argv.push_back(std::to_string(number));
  }
  TRY_ASSIGN(const ProgramResult result, run_program(argv, std::chrono::seconds(10)));
  if (result.end.reaped_elsewhere && is_written(fmt::format("/proc/{}/{}", pid, file), map)) return {};
  if (result.end.signaled || result.end.code != 0)
    return fail(ErrorCode::refused, fmt::format("{} refused the id range of this account: {}", program, printable_name(result.err)), EPERM,
                program);
  return {};
}

std::string map_text(const std::vector<HostFacts::IdMap>& map) {
  std::string text;
  for (const auto& row : map) text += fmt::format("{} {} {}\n", row.inside, row.outside, row.count);
  return text;
}

}  // namespace

bool bounds_processes(const Step& step) { return step.op == Step::Op::resource_limit && step.slot == RLIMIT_NPROC; }

Result<HeldLimits> hold_limits(const CgroupSupport& support, const Limits& limits, Plan& plan) {
  HeldLimits all;
  CgroupLimits held;
  if (limits.memory_bytes) {
    if (support.memory) {
      held.memory_bytes = limits.memory_bytes;
    } else {
      all.memory_watch_bytes = *limits.memory_bytes;
      all.notes.push_back("memory limit held by a watchdog that looks every 20 ms: " + support.reason);
    }
  }
  if (limits.pids) {
    if (support.pids) {
      held.pids = *limits.pids + 1;  // init
      // Both fences at one place would let the one refuse that does not count its refusals.
      for (Step& step : plan.job) {
        if (bounds_processes(step)) ++step.number;
      }
    } else if (std::any_of(plan.job.begin(), plan.job.end(), bounds_processes)) {
      all.notes.push_back("pids limit held by RLIMIT_NPROC of the cell's user namespace: " + support.reason);
    }
  }
  if (limits.cpus) {
    if (!support.cpu)
      return fail(ErrorCode::not_supported, fmt::format("the cpu limit can't be held here: {}; run without --cpus", support.reason));
    held.cpus = limits.cpus;
  }
  // rusage knows nothing of processes that nobody waited for, nor of those that an earlier command left.
  held.count_cpu = limits.cpu_time.has_value() || plan.serves_commands;
  if (limits.cpu_time) all.cpu_watch_us = static_cast<std::uint64_t>(limits.cpu_time->count()) * 1000;
  if (support.memory || support.pids || held.cpus) all.cgroup = held;
  return all;
}

Result<std::vector<UniqueFd>> open_sources(CellGround& ground, const Plan& plan, std::vector<std::string>& notes) {
  std::vector<UniqueFd> opened;
  if (!ground.host.privileged) return opened;
  for (const Source& source : plan.sources) {
    TRY_ASSIGN(UniqueFd tree, open_source(ground, source, notes));
    opened.push_back(std::move(tree));
  }
  return opened;
}

Result<UniqueFd> open_source(CellGround& ground, const Source& source, std::vector<std::string>& notes) {
  TreeOptions options{.read_only = source.read_only, .noexec = source.noexec};
  if (source.idmapped) {
    if (!ground.idmap) {
      const HostFacts::IdMap& map = ground.host.uid_map.front();
      TRY_ASSIGN(ground.idmap, make_user_namespace(map.outside, map.count));
    }
    options.idmap_fd = ground.idmap.get();
  }
  auto tree = open_tree(source.path, options);
  if (!tree && source.idmapped && tree.error().errno_value == EINVAL) {
    // This file system can't be idmapped (overlayfs, NFS, FUSE): then files keep owners that the cell sees as nobody's.
    notes.push_back(
        fmt::format("{}: its file system has no idmapped mounts; its files are nobody's in the cell", printable_name(source.path)));
    options.idmap_fd = -1;
    tree = open_tree(source.path, options);
  }
  return tree;
}

Result<void> write_id_maps(const HostFacts& host, pid_t pid) {
  if (host.sub_ids) {
    TRY(write_map_with("/usr/bin/newuidmap", "uid_map", pid, host.uid_map));
    return write_map_with("/usr/bin/newgidmap", "gid_map", pid, host.gid_map);
  }
  // user_namespaces(7): without privilege gid_map may only be written when setgroups is denied.
  if (!host.privileged) TRY(write_file(fmt::format("/proc/{}/setgroups", pid), "deny"));
  TRY(write_file(fmt::format("/proc/{}/uid_map", pid), map_text(host.uid_map)));
  return write_file(fmt::format("/proc/{}/gid_map", pid), map_text(host.gid_map));
}

std::unexpected<Error> clone_failure(int problem) {
  if (problem != EPERM && problem != ENOSPC && problem != EINVAL) return fail_errno("make a process", problem);
  return fail(
      ErrorCode::not_supported,
      fmt::format("can't make namespaces: {}; see 'casemate doctor' (user namespaces need sysctl user.max_user_namespaces > 0 and, on some "
                  "distributions, kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0)",
                  std::strerror(problem)),
      problem, "clone3");
}

}  // namespace casemate
