#include "sys/cgroup_layout.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace casemate {
namespace {

// Cuts the part before `separator` off the front of text; the whole text if there is none.
std::string_view take(std::string_view& text, char separator) {
  const auto end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  const auto octal = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '7'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    if (take(options, ',') == wanted) return true;
  }
  return false;
}

std::optional<CgroupMount> parse_mount(std::string_view line) {
  take(line, ' ');  // mount id
  take(line, ' ');  // parent id
  take(line, ' ');  // device
  CgroupMount mount;
  mount.root = unescape(take(line, ' '));
  mount.point = unescape(take(line, ' '));
  mount.read_only = has_option(take(line, ' '), "ro");
  while (!line.empty() && take(line, ' ') != "-") {  // propagation fields, none or many
  }
  const std::string_view type = take(line, ' ');
  take(line, ' ');  // source
  if (type != "cgroup" && type != "cgroup2") return std::nullopt;
  if (mount.root.empty() || mount.root[0] != '/' || mount.point.empty() || mount.point[0] != '/') return std::nullopt;
  mount.v2 = type == "cgroup2";
  mount.read_only = mount.read_only || has_option(line, "ro");
  if (mount.v2) {
    mount.nsdelegate = has_option(line, "nsdelegate");
  } else {
    mount.controllers = cgroup_controllers(line);
  }
  return mount;
}

// `path` seen from `root`: "" for root itself, "/a/b" below it, nullopt outside of it.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  if (root == "/") return path == "/" ? std::string_view() : path;
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path[0] != '/') return std::nullopt;
  return path;
}

// Any part of the path is "..": a cgroup outside of our cgroup namespace (cgroup_namespaces(7)).
bool leaves(std::string_view path) {
  while (!path.empty()) {
    if (take(path, '/') == "..") return true;
  }
  return false;
}

template <class Number>
bool take_number(std::string_view& text, Number& value) {
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || text[0] == '-') return false;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  return true;
}

constexpr std::string_view kNamePrefix = "casemate-";

}  // namespace

CgroupControllers cgroup_controllers(std::string_view names) {
  constexpr std::array<std::pair<std::string_view, CgroupControllers>, 6> kKnown = {{{"memory", kCgroupMemory},
                                                                                     {"pids", kCgroupPids},
                                                                                     {"cpu", kCgroupCpu},
                                                                                     {"cpuacct", kCgroupCpuacct},
                                                                                     {"blkio", kCgroupIo},
                                                                                     {"io", kCgroupIo}}};
  CgroupControllers all = 0;
  while (!names.empty()) {
    const auto end = names.find_first_of(", \n");
    const std::string_view name = names.substr(0, end);
    names.remove_prefix(end == std::string_view::npos ? names.size() : end + 1);
    for (const auto& [known, bit] : kKnown) {
      if (name == known) all |= bit;
    }
  }
  return all;
}

std::vector<CgroupMembership> parse_cgroup_memberships(std::string_view text) {
  std::vector<CgroupMembership> all;
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    const std::string_view id = take(line, ':');
    CgroupMembership membership;
    membership.names = take(line, ':');
    membership.path = line;
    if (id.empty() || line.empty() || line[0] != '/' || line.ends_with(" (deleted)") || leaves(line)) continue;
    membership.v2 = id == "0" && membership.names.empty();
    if (!membership.v2 && membership.names.empty()) continue;
    membership.controllers = cgroup_controllers(membership.names);
    all.push_back(std::move(membership));
  }
  return all;
}

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
  std::vector<CgroupMount> all;
  while (!mountinfo.empty()) {
    if (auto mount = parse_mount(take(mountinfo, '\n'))) all.push_back(std::move(*mount));
  }
  return all;
}

std::vector<CgroupPlace> cgroup_places(const std::vector<CgroupMembership>& memberships, const std::vector<CgroupMount>& mounts) {
  std::vector<CgroupPlace> places;
  for (const CgroupMembership& membership : memberships) {
    if (!membership.v2 && membership.controllers == 0) continue;
    std::optional<CgroupPlace> best;
    for (const CgroupMount& mount : mounts) {
      if (mount.v2 != membership.v2 || mount.controllers != membership.controllers) continue;
      const auto rest = below(membership.path, mount.root);
      if (!rest || (best && (!best->read_only || mount.read_only))) continue;
      best = CgroupPlace{mount.v2, mount.controllers, mount.point, mount.point + std::string(*rest), mount.read_only, mount.nsdelegate};
    }
    if (best) places.push_back(std::move(*best));
  }
  return places;
}

std::string format_cgroup_name(const CgroupName& name) {
  std::string text = fmt::format("{}{}-{}-{}", kNamePrefix, name.pid, name.start_time, name.serial);
  if (name.pid_namespace != 0) text += fmt::format("-{}", name.pid_namespace);
  return text;
}

std::optional<CgroupName> parse_cgroup_name(std::string_view text) {
  if (!text.starts_with(kNamePrefix)) return std::nullopt;
  text.remove_prefix(kNamePrefix.size());
  const auto dash = [&] {
    const bool there = text.starts_with('-');
    if (there) text.remove_prefix(1);
    return there;
  };
  CgroupName name;
  if (!take_number(text, name.pid) || !dash() || !take_number(text, name.start_time) || !dash() || !take_number(text, name.serial)) {
    return std::nullopt;
  }
  if (!text.empty() && (!dash() || !take_number(text, name.pid_namespace) || !text.empty())) return std::nullopt;
  if (name.pid <= 0) return std::nullopt;
  return name;
}

}  // namespace casemate
