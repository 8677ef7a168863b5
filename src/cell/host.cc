#include "cell/host.h"

#include <climits>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casemate/job.h"
#include "cell/job_check.h"
#include "sys/fd.h"
#include "sys/privilege.h"

namespace casemate {
namespace {

// The first range of subuid(5) or subgid(5) for this user, by name or number; count 0 if there is none.
HostFacts::IdMap sub_id_range(const char* file, std::string_view name, std::uint32_t uid) {
  auto text = read_file(file, 1 << 20);
  if (!text) return {0, 0, 0};
  std::string_view rest = *text;
  const std::string number = std::to_string(uid);
  while (!rest.empty()) {
    const auto newline = rest.find('\n');
    const std::string line(rest.substr(0, newline));
    rest = newline == std::string_view::npos ? std::string_view() : rest.substr(newline + 1);
    const auto colon = line.find(':');
    if (colon == std::string::npos || (line.substr(0, colon) != name && line.substr(0, colon) != number)) continue;
    char* end = nullptr;
    const unsigned long first = std::strtoul(line.c_str() + colon + 1, &end, 10);
    if (*end != ':') continue;
    const unsigned long count = std::strtoul(end + 1, nullptr, 10);
    if (count > 0) return {1, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(std::min(count, 65'535ul))};
  }
  return {0, 0, 0};
}

bool executable(const char* path) { return ::access(path, X_OK) == 0; }

void choose_unprivileged_ids(HostFacts& facts) {
  facts.uid_map = {{0, facts.uid, 1}};
  facts.gid_map = {{0, facts.gid, 1}};
  if (!executable("/usr/bin/newuidmap") || !executable("/usr/bin/newgidmap")) return;
  // getpwuid would load NSS modules, which a static program can't; the files are what newuidmap reads as well.
  std::string name;
  if (auto passwd = read_file("/etc/passwd", 16 << 20)) {
    const std::string wanted = fmt::format(":{}:", facts.uid);
    std::string_view rest = *passwd;
    while (!rest.empty() && name.empty()) {
      const auto newline = rest.find('\n');
      const std::string_view line = rest.substr(0, newline);
      rest = newline == std::string_view::npos ? std::string_view() : rest.substr(newline + 1);
      const auto colon = line.find(':');
      const auto second = colon == std::string_view::npos ? colon : line.find(':', colon + 1);
      if (second != std::string_view::npos && line.substr(second).starts_with(wanted)) name = line.substr(0, colon);
    }
  }
  const HostFacts::IdMap uids = sub_id_range("/etc/subuid", name, facts.uid);
  const HostFacts::IdMap gids = sub_id_range("/etc/subgid", name, facts.uid);
  if (uids.count == 0 || gids.count == 0) return;
  if (may_not_gain_privileges()) return;  // newuidmap is a set-id program
  facts.sub_ids = true;
  facts.uid_map.push_back(uids);
  facts.gid_map.push_back(gids);
}

bool names_loopback_server(const std::string& resolv_conf) {
  for (std::size_t at = 0; at < resolv_conf.size();) {
    std::size_t end = resolv_conf.find('\n', at);
    if (end == std::string::npos) end = resolv_conf.size();
    const std::string_view line = std::string_view(resolv_conf).substr(at, end - at);
    at = end + 1;
    if (!line.starts_with("nameserver")) continue;
    const auto address = line.find_first_not_of(" \t", 10);
    if (address == std::string_view::npos) continue;
    if (line.substr(address).starts_with("127.") || line.substr(address).starts_with("::1")) return true;
  }
  return false;
}

void find_resolv_conf(HostFacts& facts) {
  auto content = read_file("/etc/resolv.conf", 64 << 10);
  if (!content) return;
  facts.loopback_resolver = names_loopback_server(*content);
  facts.resolv_conf = std::move(*content);
  char real[PATH_MAX];
  struct stat info{};
  if (::lstat("/etc/resolv.conf", &info) < 0 || !S_ISLNK(info.st_mode)) return;
  if (::realpath("/etc/resolv.conf", real) == nullptr) return;
  const std::string_view path = real;
  if (path.starts_with("/etc/") || path.starts_with("/usr/")) return;
  facts.resolv_conf_path = path;
}

}  // namespace

void HostFacts::look_at(const std::string& path) {
  if (paths.contains(path)) return;
  HostPath& found = paths[path];
  struct stat info{};
  if (::lstat(path.c_str(), &info) < 0) return;
  if (S_ISDIR(info.st_mode)) {
    found.kind = HostPath::Kind::directory;
  } else if (S_ISREG(info.st_mode)) {
    found.kind = HostPath::Kind::file;
  } else if (S_ISLNK(info.st_mode)) {
    char target[PATH_MAX];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    if (length <= 0 || length == sizeof target) return;
    found = {HostPath::Kind::symlink, std::string(target, static_cast<std::size_t>(length))};
  } else {
    found.kind = HostPath::Kind::other;
  }
}

void resolve_sources(Job& job, HostFacts& host) {
  const auto resolve = [&](std::string& path) {
    char real[PATH_MAX];
    if (path.find('\0') == std::string::npos && ::realpath(path.c_str(), real)) path = real;
    host.paths.erase(path);  // it may have come or changed since an earlier job
    host.look_at(path);
  };
  for (Mount& mount : job.mounts) {
    if (mount.kind == Mount::Kind::bind) resolve(mount.source);
    for (std::string& lower : mount.lower) resolve(lower);
    if (!mount.under.empty()) resolve(mount.under);
    if (mount.target.find('\0') == std::string::npos) host.look_at(mount.target);
  }
  for (std::string& path : job.host_paths) {
    if (const auto place = place_inside(path, "a path of the host")) path = "/" + *place;
    host.look_at(path);
  }
}

HostFacts read_host_facts() {
  HostFacts facts;
  facts.uid = ::geteuid();
  facts.gid = ::getegid();
  facts.privileged = may_shift_ids();
  if (facts.privileged) {
    facts.uid_map = facts.gid_map = {{0, kFirstShiftedId, kShiftedIds}};
  } else {
    choose_unprivileged_ids(facts);
  }
  struct stat info{};
  if (::stat("/tmp", &info) < 0 || !S_ISDIR(info.st_mode)) facts.root_mount_point = "/usr";
  facts.machine_id = ::access("/etc/machine-id", F_OK) == 0;
  find_resolv_conf(facts);
  for (const std::string& path : default_host_paths()) facts.look_at(path);
  return facts;
}

}  // namespace casemate
