// /proc/PID/cgroup and mountinfo hold names that others chose, and so do the names of cgroups: places stay below their mount, and a name
// that is taken for ours is written back as it was read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sys/cgroup_layout.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The memberships, a NUL, the mounts.
  const std::size_t cut = text.find('\0');
  const auto memberships = parse_cgroup_memberships(text.substr(0, cut));
  const auto mounts = parse_cgroup_mounts(cut == std::string_view::npos ? std::string_view() : text.substr(cut + 1));
  for (const CgroupPlace& place : cgroup_places(memberships, mounts)) {
    require(place.top.starts_with('/') && place.own.starts_with(place.top));
    require(place.own.find("/../", place.top.size()) == std::string::npos);
    require(place.own.size() == place.top.size() || place.own[place.top.size()] == '/');
  }
  if (const auto name = parse_cgroup_name(text)) {
    require(name->pid > 0);
    const auto again = parse_cgroup_name(format_cgroup_name(*name));
    require(again && again->pid == name->pid && again->start_time == name->start_time && again->serial == name->serial &&
            again->pid_namespace == name->pid_namespace);
  }
  return 0;
}
