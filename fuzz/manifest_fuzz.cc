// Any bytes as index, manifest and config at once, each naming the others: no crash, no endless walk, errors are one line, and what is read
// keeps its promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "image/manifest.h"
#include "image/reference.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

template <class T>
void require_one_line(const Result<T>& result) {
  if (!result)
    require(!result.error().what.empty() && result.error().what.size() < 8192 && result.error().what.find('\n') == std::string::npos);
}

void require_sound(const Descriptor& descriptor) {
  require(check_digest(descriptor.digest).has_value());
  require(descriptor.size <= 1ull << 53 && descriptor.media_type.find('\0') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const Platform wanted = {"linux", "amd64", ""};
  std::size_t reads = 0;
  const ReadBlob read = [&](const Descriptor& descriptor) -> Result<std::string> {
    require_sound(descriptor);
    require(++reads < 10);
    return bytes;
  };
  const Descriptor start = {"application/vnd.oci.image.index.v1+json", "sha256:" + std::string(64, '0'), size, std::nullopt, ""};
  require_one_line(resolve_manifest(start, wanted, read));

  const auto document = parse_manifest(bytes, "");
  require_one_line(document);
  if (document) {
    if (const auto* manifest = std::get_if<ImageManifest>(&*document)) {
      require(manifest->layers.size() <= kMostLayers);
      for (const LayerDescriptor& layer : manifest->layers) require_sound(layer.blob);
      require_one_line(read_image_config(*manifest, wanted, read));
    } else {
      for (const Descriptor& entry : std::get<ImageIndex>(*document).manifests) require_sound(entry);
      require_one_line(choose_manifest(std::get<ImageIndex>(*document), wanted));
    }
  }
  const auto config = parse_image_config(bytes, 1);
  require_one_line(config);
  if (config) {
    require(config->diff_ids.size() == 1);
    require(config->working_dir.empty() || config->working_dir[0] == '/');
    for (const std::string& entry : config->env) require(entry.find('=') != std::string::npos && entry.find('\0') == std::string::npos);
  }
  return 0;
}
