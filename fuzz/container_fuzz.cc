// Any bytes as a container's file, a layer and a mount: no crash, errors are one line with a place, and what is read keeps its promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "image/container.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

template <class T>
void require_one_line(const Result<T>& result, std::string_view start) {
  if (!result) require(result.error().what.starts_with(start) && result.error().what.find('\n') == std::string::npos);
}

void require_sound(const std::vector<Mount>& mounts) {
  for (const Mount& mount : mounts) {
    require(mount.target.starts_with('/') && mount.target.find('\0') == std::string::npos);
    require(mount.kind != Mount::Kind::bind || mount.source.starts_with('/'));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto spec = parse_container(bytes, "/f");
  require_one_line(spec, "/f:");
  if (spec) {
    require_sound(spec->mounts);
    require(!spec->limits.wall || spec->limits.wall->count() > 0);
    require(!spec->limits.cpus || *spec->limits.cpus > 0);
    for (const auto& [name, value] : spec->environment)
      require(!name.empty() && name.find('=') == std::string::npos && value.find('\0') == std::string::npos);
  }
  require_one_line(parse_layer(bytes), "layer: ");
  const auto mounts = parse_mount_table(bytes, "/d");
  require_one_line(mounts, "mount: ");
  if (mounts) require_sound(*mounts);
  return 0;
}
