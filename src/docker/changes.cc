#include "docker/changes.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/untrusted_json.h"
#include "docker/container_spec.h"

namespace casemate {
namespace {

constexpr std::string_view kTheirs[] = {".dockerenv", "run/.containerenv", "etc/mtab", "etc/hosts", "etc/hostname", "etc/resolv.conf"};
constexpr std::string_view kTheirTrees[] = {"dev", "proc", "sys", "run/secrets"};

// Go's os.FileMode.
constexpr std::uint64_t kDirectory = 1ull << 31, kSymlink = 1ull << 27, kDevice = 1ull << 26, kFifo = 1ull << 25, kSocket = 1ull << 24,
                        kSetUser = 1ull << 23, kSetGroup = 1ull << 22, kSticky = 1ull << 20;

bool covers(std::string_view tree, std::string_view path) {
  return tree.empty() || path == tree || (path.size() > tree.size() && path.starts_with(tree) && path[tree.size()] == '/');
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char digit : text) {
    const auto value = kDigits.find(digit);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

// RFC 3339, 5.6, as Go's encoding/json writes it: "2026-11-22T13:10:02.123456789+01:00". 0: it is none.
timespec time_of(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, read = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &read) != 6) return {};
  const auto days = std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(static_cast<unsigned>(month)) /
                                          std::chrono::day(static_cast<unsigned>(day)))
                        .time_since_epoch()
                        .count();
  timespec time{.tv_sec = std::int64_t{days} * 86'400 + std::int64_t{hour} * 3600 + std::int64_t{minute} * 60 + second, .tv_nsec = 0};
  std::string_view rest = std::string_view(text).substr(static_cast<std::size_t>(read));
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    for (long unit = 100'000'000; !rest.empty() && std::isdigit(static_cast<unsigned char>(rest[0])); unit /= 10, rest.remove_prefix(1))
      time.tv_nsec += unit * (rest[0] - '0');
  }
  int hours = 0, minutes = 0;
  if (std::sscanf(std::string(rest).c_str(), "%*1[+-]%2d:%2d", &hours, &minutes) == 2)
    time.tv_sec -= (rest[0] == '-' ? -1 : 1) * (std::int64_t{hours} * 3600 + std::int64_t{minutes} * 60);
  return time;
}

}  // namespace

bool is_daemons_own(std::string_view path) {
  return path == kWitnessPlace.substr(1) || std::find(std::begin(kTheirs), std::end(kTheirs), path) != std::end(kTheirs) ||
         std::any_of(std::begin(kTheirTrees), std::end(kTheirTrees), [&](std::string_view tree) { return covers(tree, path); });
}

Result<LayerChanges> parse_changes(std::string_view text) {
  LayerChanges changes;
  if (!is_within(text, {.depth = 4, .values = 6'000'000}))
    return fail(ErrorCode::corrupt, "the daemon's list of a container's changes is too long, or none");
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_null()) return changes;
  if (!json.is_array()) return fail(ErrorCode::corrupt, "the daemon's list of a container's changes is none");
  for (const auto& each : json) {
    const std::string path = text_at(each, "Path");
    const std::uint64_t kind = number_at(each, "Kind");
    if (path.size() < 2 || path[0] != '/' || path.find('\0') != std::string::npos || kind > 2)
      return fail(ErrorCode::corrupt, "the daemon's list of a container's changes has an entry that the Engine API does not know");
    if (!is_daemons_own(path.substr(1))) changes[path.substr(1)] = static_cast<LayerChange>(kind);
  }
  return changes;
}

Result<TarEntry> parse_path_stat(std::string_view header) {
  const auto json = untrusted_object(from_base64(header));
  if (!json) return fail(ErrorCode::corrupt, "the daemon's word on a path of a container can't be read");
  const std::uint64_t mode = number_at(*json, "mode");
  TarEntry entry;
  entry.path = text_at(*json, "name");
  entry.size = number_at(*json, "size");
  entry.mode = static_cast<std::uint32_t>((mode & 0777) | ((mode & kSticky) != 0 ? 01000 : 0) | ((mode & kSetUser) != 0 ? 04000 : 0) |
                                          ((mode & kSetGroup) != 0 ? 02000 : 0));
  entry.modified = time_of(text_at(*json, "mtime", 64));
  entry.link_target = text_at(*json, "linkTarget");
  if ((mode & kDirectory) != 0) {
    entry.type = TarEntry::Type::directory;
  } else if ((mode & kSymlink) != 0) {
    entry.type = TarEntry::Type::symlink;
  } else if ((mode & kFifo) != 0) {
    entry.type = TarEntry::Type::fifo;
  } else if ((mode & (kDevice | kSocket)) != 0) {
    entry.type = (mode & kDevice) != 0 ? TarEntry::Type::character : TarEntry::Type::other;
  }
  return entry;
}

ChangeFetches plan_fetches(const LayerChanges& changes, std::string_view place) {
  ChangeFetches plan;
  for (auto each = changes.begin(); each != changes.end(); ++each) {
    const auto& [path, kind] = *each;
    if (path == place ? kind != LayerChange::added : !covers(place, path)) continue;
    const auto next = changes.lower_bound(path + "/");
    const bool has_children = next != changes.end() && covers(path, next->first);
    if (kind == LayerChange::deleted) {
      plan.deleted.push_back(path);
      if (place.empty()) plan.fetches.push_back({ChangeFetch::How::outline, path});
    } else if (kind == LayerChange::added) {
      plan.added.push_back(path);
      const auto above = changes.find(parent_of(path));
      const bool covered = path != place && above != changes.end() && above->second == LayerChange::added && covers(place, above->first);
      if (!covered) plan.fetches.push_back({ChangeFetch::How::get, path});
    } else if (has_children) {
      plan.directories.push_back(path);
    } else {
      plan.fetches.push_back({place.empty() ? ChangeFetch::How::both : ChangeFetch::How::look, path});
    }
  }
  return plan;
}

}  // namespace casemate
