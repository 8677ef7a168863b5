// manifest: what an OCI or docker image consists of, read from the JSON that describes it: indexes, manifests, configs. No operating
// system.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "casemate/result.h"

namespace casemate {

// Sources: OCI image-spec 1.1 (descriptor.md, image-index.md, manifest.md, config.md, layer.md), docker's "Image Manifest Version 2,
// Schema 2". All texts in these values are the image's and hostile; none has a NUL byte. What can't be used is one line: invalid_input for
// a document that is not what it must be, not_supported for images of a kind that casemate does not run, not_found for another platform.

/// What an image runs on, in Go's words: "linux", "amd64", "v8".
struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;  ///< of the architecture; "": the plain one

  bool operator==(const Platform&) const = default;
};

/// The platform that casemate was built for: linux on amd64 (the plain one, as docker and skopeo choose), arm64/v8 and so on.
[[nodiscard]] Platform host_platform();
/// "linux/arm64/v8".
[[nodiscard]] std::string to_text(const Platform& platform);
/// How well something made for `offered` runs on `wanted`: 0 best, larger is worse, nullopt not at all. amd64/vN runs v1 to vN, arm/vN runs
/// v5 to vN, arm64 is arm64/v8; no variant is v1 for amd64.
[[nodiscard]] std::optional<unsigned> fitness(const Platform& offered, const Platform& wanted);

/// What a document says about a blob.
struct Descriptor {
  std::string media_type;
  std::string digest;                ///< "sha256:<64 hex digits>"
  std::uint64_t size = 0;            ///< bytes, at most 2^53
  std::optional<Platform> platform;  ///< in indexes
  std::string name;                  ///< the annotation org.opencontainers.image.ref.name: a tag, in a layout's index.json
};

/// How a layer's tar is packed.
enum class Compression { none, gzip, zstd };

/// One layer as a manifest names it.
struct LayerDescriptor {
  Descriptor blob;
  Compression compression = Compression::none;
};

/// An OCI image index or a docker manifest list.
struct ImageIndex {
  std::vector<Descriptor> manifests;  ///< media types of any kind; at most 4,096
};

/// An OCI image manifest or a docker schema 2 manifest.
struct ImageManifest {
  Descriptor config;
  std::vector<LayerDescriptor> layers;  ///< lowest first; may be empty; at most kMostLayers
};

/// The most layers of an image: docker's bound is 127; a cell's root takes 200, with what is laid over the image.
inline constexpr std::size_t kMostLayers = 150;
/// How many indexes may lie inside one another.
inline constexpr std::size_t kDeepestIndex = 4;

/// What an image wants to be run as. Absent fields are empty.
struct ImageConfig {
  Platform platform;
  std::vector<std::string> env;  ///< "NAME=value" each, in order
  std::string working_dir;       ///< absolute if not empty (docker's reading of a relative one); may hold ".." and links of the image
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string user;                   ///< "user", "uid", "user:group", "uid:gid" and mixtures
  std::vector<std::string> diff_ids;  ///< digests of the unpacked tars, lowest first: one for each layer
};

using ManifestDocument = std::variant<ImageIndex, ImageManifest>;

/// Reads an index or a manifest. `media_type` is what the descriptor or server called it, "" if nobody did; a document that calls itself
/// something else, or has the fields of both kinds, is refused (CVE-2021-41190). not_supported: schema 1, layers that are not distributed
/// with the image ("foreign"), encrypted ones, unknown ones, things that are no image.
Result<ManifestDocument> parse_manifest(std::string_view bytes, std::string_view media_type);

/// Reads an image config whose manifest names `layers` layers.
Result<ImageConfig> parse_image_config(std::string_view bytes, std::size_t layers);

/// The first of the best entries for `wanted`; entries without a platform stand in when no other fits. not_found lists the platforms there
/// are.
Result<Descriptor> choose_manifest(const ImageIndex& index, const Platform& wanted);

/// The bytes of a blob; who gives them checks digest and size.
using ReadBlob = std::function<Result<std::string>(const Descriptor&)>;

/// A manifest and the descriptor that led to it.
struct ResolvedManifest {
  Descriptor descriptor;
  ImageManifest manifest;
};

/// Follows indexes from `start` to the manifest for `wanted`. refused: an index that names itself, or more than kDeepestIndex in one
/// another.
Result<ResolvedManifest> resolve_manifest(const Descriptor& start, const Platform& wanted, const ReadBlob& read);

/// Whether this is the media type of an index or a manifest that parse_manifest() reads.
[[nodiscard]] bool is_manifest_type(std::string_view media_type);

/// The config of a manifest, which must be for `wanted` (of whatever variant): not_found says what it is for.
Result<ImageConfig> read_image_config(const ImageManifest& manifest, const Platform& wanted, const ReadBlob& read);

}  // namespace casemate
