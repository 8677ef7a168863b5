#include "cell/job_check.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace casemate {
namespace {

constexpr std::uint32_t kMostPids = 4'194'304;  // PID_MAX_LIMIT of 64-bit Linux
constexpr std::size_t kMostRootLayers = 200;    // docker's limit is 127; the mount's options must fit into a page

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

bool maps_id(const std::vector<HostFacts::IdMap>& map, std::uint32_t id) {
  return std::any_of(map.begin(), map.end(), [&](const auto& row) { return id >= row.inside && id - row.inside < row.count; });
}

Result<void> check_root(const Job& job) {
  if ((job.image == "host") != job.root.empty())
    return invalid(fmt::format("image '{}' of a job has {}: an image must be opened before (open_root)", job.image,
                               job.root.empty() ? "no layers" : "layers"));
  if (job.root.size() > kMostRootLayers)
    return fail(ErrorCode::not_supported,
                fmt::format("image '{}' has {} layers, more than {}", job.image, job.root.size(), kMostRootLayers));
  for (const std::string& layer : job.root) {
    if (!layer.starts_with('/') || layer.find('\0') != std::string::npos)
      return invalid(fmt::format("the layer '{}' of image '{}' is not an absolute path of the host", layer, job.image));
  }
  if (!job.root.empty() && !job.host_paths.empty())
    return invalid("paths of the host are shown at their own places on image 'host' only; with an image, mount them (--mount)");
  return {};
}

}  // namespace

Result<std::string> place_inside(std::string_view path, std::string_view what) {
  if (path.empty() || path[0] != '/') return invalid(fmt::format("{} '{}' is not an absolute path", what, path));
  if (path.find('\0') != std::string_view::npos) return invalid(fmt::format("{} has a NUL byte", what));
  std::string clean;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") return invalid(fmt::format("{} may not go through '..'", what));
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

bool reserved_place(std::string_view path) {
  return path.empty() || path == "proc" || path == "dev" || path == "sys" || path.starts_with("proc/") || path.starts_with("sys/") ||
         path.starts_with(kLayersPlace);
}

Result<void> check_limits(const Limits& limits) {
  if (limits.memory_bytes && *limits.memory_bytes < (4u << 20)) return invalid("the memory limit must be at least 4M");
  if (limits.pids && (*limits.pids < 1 || *limits.pids > kMostPids))
    return invalid(fmt::format("the pids limit must be 1 to {}", kMostPids));
  if (limits.cpus && !(*limits.cpus >= 0.01 && *limits.cpus <= 4096)) return invalid("the cpu limit must be at least 0.01");
  if (limits.disk_bytes && *limits.disk_bytes < (64u << 10)) return invalid("the disk limit must be at least 64K");
  if (limits.disk_inodes && *limits.disk_inodes < 128) return invalid("the disk limit must be at least 128 files");
  if (limits.cpu_time && limits.cpu_time->count() < 1) return invalid("the CPU time limit must be at least 1ms");
  if (limits.wall && limits.wall->count() < 1) return invalid("the time limit must be at least 1ms");
  if (limits.open_files && *limits.open_files < 8) return invalid("the open files limit must be at least 8");
  return {};
}

Result<void> check_job(const Job& job, const HostFacts& host) {
  if (job.argv.empty() || job.argv[0].empty()) return invalid("a job needs a command");
  for (const std::string& word : job.argv) {
    if (word.find('\0') != std::string::npos) return invalid("an argument has a NUL byte");
  }
  for (const auto& [name, value] : job.env) {
    if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos ||
        value.find('\0') != std::string::npos)
      return invalid(fmt::format("'{}' can't be the name of an environment variable", name));
  }
  for (const std::string& path : job.host_paths) {
    TRY_ASSIGN(const std::string place, place_inside(path, "a path of the host"));
    if (place.empty()) return invalid("the host's '/' can't be shown as a whole; name the directories that are needed, as /usr and /etc");
    if (reserved_place(place) || place.starts_with("dev/"))
      return invalid(fmt::format("the host's '{}' can't be shown: a cell has a /dev, /proc and /sys of its own", path));
    const auto found = host.paths.find(path);
    if (found != host.paths.end() && found->second.kind == HostPath::Kind::missing)
      return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory on the host", path), ENOENT);
  }
  for (const Mount& mount : job.mounts) {
    const auto has_nul = [](const std::string& path) { return path.find('\0') != std::string::npos; };
    if (has_nul(mount.source) || has_nul(mount.under) || std::any_of(mount.lower.begin(), mount.lower.end(), has_nul))
      return invalid("the source of a mount has a NUL byte");
    // tmpfs(5) takes 0 for no bound.
    if (mount.bytes && *mount.bytes < 4096) return invalid("the size of a tmpfs must be at least 4K");
  }
  TRY(check_root(job));
  if (job.hostname.empty() || job.hostname.size() > 64) return invalid("a host name has 1 to 64 bytes");
  if (!maps_id(host.uid_map, job.user.uid) || !maps_id(host.gid_map, job.user.gid)) {
    return fail(ErrorCode::not_supported, fmt::format("user {}:{} does not exist in the cell: its ids are {}; {}", job.user.uid,
                                                      job.user.gid, host.privileged || host.sub_ids ? "0 to 65535" : "only 0",
                                                      host.privileged || host.sub_ids
                                                          ? "take a smaller one"
                                                          : "give this account a range in /etc/subuid and /etc/subgid and install uidmap"));
  }
  return check_limits(job.limits);
}

}  // namespace casemate
