#include "image/registry.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/units.h"
#include "image/document.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

std::string named(const ImageReference& reference, const std::string& digest) { return to_text(with_digest(reference, digest)); }

// What a document must be: what was asked for.
Result<std::string> checked(Result<std::string> bytes, const char* what, const Descriptor& wanted) {
  TRY(bytes);
  const std::string digest = "sha256:" + sha256_hex(*bytes);
  if (digest != wanted.digest)
    return fail(ErrorCode::refused,
                fmt::format("the registry lies: the {} it sends for {} has the digest {}", what, wanted.digest, digest));
  if (bytes->size() != wanted.size)
    return fail(ErrorCode::refused, fmt::format("the registry lies: {} {} has {} bytes, but is said to have {}", what, wanted.digest,
                                                bytes->size(), wanted.size));
  return bytes;
}

}  // namespace

Result<RegistryImage> resolve_in_registry(const Skopeo& skopeo, const ImageReference& reference, const Platform& platform) {
  RegistryImage image;
  TRY_ASSIGN(const std::string first, skopeo.manifest(to_text(reference)));
  image.digest = "sha256:" + sha256_hex(first);
  if (is_pinned(reference) && image.digest != reference.digest)
    return fail(ErrorCode::refused, fmt::format("the registry lies: what it sends has the digest {}", image.digest));
  const Descriptor start{.media_type = "", .digest = image.digest, .size = first.size()};
  const ReadBlob read_manifest = [&](const Descriptor& descriptor) -> Result<std::string> {
    auto bytes = descriptor.digest == start.digest ? Result<std::string>(first)
                                                   : checked(skopeo.manifest(named(reference, descriptor.digest)), "manifest", descriptor);
    if (bytes) image.manifest = *bytes;
    return bytes;
  };
  TRY_ASSIGN(image.resolved, resolve_manifest(start, platform, read_manifest));
  const ReadBlob read_config = [&](const Descriptor& descriptor) -> Result<std::string> {
    auto bytes = checked(skopeo.config(named(reference, image.resolved.descriptor.digest)), "config", descriptor);
    if (bytes) image.config_bytes = *bytes;
    return bytes;
  };
  TRY_ASSIGN(image.config, read_image_config(image.resolved.manifest, platform, read_config));
  if (std::string& type = image.resolved.descriptor.media_type; type.empty()) {
    TRY_ASSIGN(const nlohmann::json json, parse_document(image.manifest, "the manifest"));
    TRY_ASSIGN(const Fields fields, Fields::of(json, "the manifest"));
    TRY_ASSIGN(type, fields.optional_text("mediaType"));
    if (type.empty()) type = "application/vnd.oci.image.manifest.v1+json";
  }
  return image;
}

std::function<Result<void>()> watch_place(const PullPlace& place, std::uint64_t largest, std::uint64_t all, std::chrono::milliseconds stall,
                                          const TellFetch& tell) {
  struct State {
    PullPlace::Sizes before;
    std::uint64_t last = 0;
    Clock::time_point changed = Clock::now();
  };
  const auto state = std::make_shared<State>();
  state->before = place.sizes();
  return [&place, state, largest, all, stall, tell]() -> Result<void> {
    const PullPlace::Sizes now = place.sizes();
    if (now.largest > largest || now.unfinished > all)
      return fail(ErrorCode::refused, fmt::format("more is sent than was announced: {} and no end, where at most {} were to come",
                                                  format_bytes(now.largest > largest ? now.largest : now.unfinished),
                                                  format_bytes(now.largest > largest ? largest : all)));
    if (now.unfinished + now.whole != state->last) {
      state->last = now.unfinished + now.whole;
      state->changed = Clock::now();
    } else if (Clock::now() - state->changed >= stall) {
      return fail(ErrorCode::exhausted, fmt::format("no byte has come for {}: it was given up", format_duration(stall)));
    }
    const std::uint64_t whole = now.whole - std::min(now.whole, state->before.whole);
    if (tell) tell(now.unfinished + whole, now.blobs - std::min(now.blobs, state->before.blobs));
    return {};
  };
}

Result<void> fetch_layers(const Skopeo& skopeo, const std::string& manifest, const PullPlace& place,
                          const std::vector<StoredLayer>& missing, std::chrono::milliseconds stall, const TellFetch& tell) {
  std::uint64_t largest = kDocumentLimit;  // configs are fetched too
  std::uint64_t all = kDocumentLimit;
  for (const StoredLayer& layer : missing) {
    largest = std::max(largest, layer.size);
    all += layer.size;
  }
  Skopeo::Copy copy;
  copy.source = manifest;
  copy.target = "oci:layout:x";
  copy.directory = place.path();
  copy.watch = watch_place(place, largest, all, stall, tell);
  TRY(skopeo.copy(copy));
  for (const StoredLayer& layer : missing) {
    struct stat info{};
    if (::lstat(place.blob_path(layer.digest).c_str(), &info) < 0 || !S_ISREG(info.st_mode))
      return fail(ErrorCode::refused, fmt::format("layer {} did not come", layer.digest));
    if (static_cast<std::uint64_t>(info.st_size) != layer.size)
      return fail(ErrorCode::refused, fmt::format("the registry lies: layer {} has {} bytes, but the manifest says {}", layer.digest,
                                                  info.st_size, layer.size));
  }
  return {};
}

}  // namespace casemate
