// registry: what a registry says an image is, checked down from the digest that was asked for, and its layers fetched within bounds.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/manifest.h"
#include "image/pull_place.h"
#include "image/reference.h"
#include "image/skopeo.h"

namespace casemate {

/// An image of a registry before any of its layers was fetched. All bytes have the digests that lead to them.
struct RegistryImage {
  std::string digest;  ///< of what the reference names
  ResolvedManifest resolved;
  std::string manifest;  ///< its bytes
  std::string config_bytes;
  ImageConfig config;
};

/// Asks what `reference` (registry) names for `platform`: two or three runs of skopeo, and one for each index. refused: the registry
/// answers with other bytes than it was asked for.
Result<RegistryImage> resolve_in_registry(const Skopeo& skopeo, const ImageReference& reference, const Platform& platform);

/// Called while something is fetched: bytes and files that have come.
using TellFetch = std::function<void(std::uint64_t bytes, std::size_t files)>;

/// Watches what skopeo writes into a place, as Skopeo::Copy::watch. refused: a file grows past `largest` bytes or all that is unfinished
/// past `all`; exhausted: nothing grew for `stall`.
std::function<Result<void>()> watch_place(const PullPlace& place, std::uint64_t largest, std::uint64_t all, std::chrono::milliseconds stall,
                                          const TellFetch& tell);

/// Fetches the layers `missing` of the image `manifest` ("docker://NAME@DIGEST") into `place`, which was prepared for it. refused: what
/// came has not the sizes that the manifest says.
Result<void> fetch_layers(const Skopeo& skopeo, const std::string& manifest, const PullPlace& place,
                          const std::vector<StoredLayer>& missing, std::chrono::milliseconds stall, const TellFetch& tell);

}  // namespace casemate
