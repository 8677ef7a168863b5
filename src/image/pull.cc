// Theory of operation. An image is found in four places, from cheap to dear: its record and its unpacked layers in the store; the layers'
// blobs in the store; a directory of an earlier pull that was killed; the registry. Whatever was missing further up is made from further
// down, layer by layer, and each step is whole or not there: a layer is published by rename, a blob is renamed once its digest is right, a
// record is written last. So a pull that dies anywhere leaves only things that the next one finds.
#include "image/pull.h"

#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "image/catalogue.h"
#include "image/layer_cache.h"

namespace casemate {
namespace {

using Kind = ImageReference::Kind;
using Policy = PullOptions::Policy;

// One pull.
class Pull {
 public:
  Pull(Store& store, ImageReference reference, const PullOptions& options, const TellPull& tell)
      : store_(store), reference_(std::move(reference)), options_(options), tell_(tell) {
    progress_.image = to_text(reference_);
  }

  Result<ReadyImage> run() {
    TRY_ASSIGN(reference_, absolute(reference_));
    auto ready = [&]() -> Result<ReadyImage> {
      if (options_.policy == Policy::never) return only_from_store();
      switch (reference_.kind) {
        case Kind::oci_layout:
          return from_layout();
        default:
          return fail(ErrorCode::invalid_input, "it is no image that can be pulled");
      }
    }();
    if (ready) tell(PullProgress::Phase::done);
    return ready;
  }

 private:
  void tell(PullProgress::Phase phase) {
    progress_.phase = phase;
    if (tell_) tell_(progress_);
  }

  // ---- what the store has

  // The record of this image; for a digest one of another name of it.
  std::optional<ImageRecord> record() const {
    auto found = find_record(store_, reference_, options_.platform);
    if (!found && is_pinned(reference_)) found = find_record_by_digest(store_, reference_, options_.platform);
    return found;
  }

  Result<ReadyImage> only_from_store() {
    auto found = record();
    if (!found) return fail(ErrorCode::not_found, "the store does not have it, and the policy is not to ask anybody");
    TRY_ASSIGN(std::optional<ReadyImage> ready, from_blobs(std::move(found->image)));
    if (!ready) return fail(ErrorCode::not_found, "its layers are no longer in the store, and the policy is not to ask anybody");
    return std::move(*ready);
  }

  // The image from unpacked layers, and from blobs where these are gone; nullopt: the store has not enough of it.
  Result<std::optional<ReadyImage>> from_blobs(StoredImage image) {
    TRY_ASSIGN(LayerLeases held, lease_layers(store_, image.layers));
    std::vector<StoreLease> blobs;
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
      if (held.leases[i]) continue;
      TRY_ASSIGN(std::optional<StoreLease> blob, store_.blob(image.layers[i].digest));
      if (!blob) return std::nullopt;
      blobs.push_back(std::move(*blob));
    }
    const auto open = [&](const StoredLayer& layer) -> Result<UniqueFd> {
      TRY_ASSIGN(const std::optional<StoreLease> blob, store_.blob(layer.digest));
      if (!blob) return fail(ErrorCode::corrupt, "its blob is gone");
      return open_file(blob->path(), O_RDONLY | O_NOFOLLOW);
    };
    auto ready = unpacked(image, std::move(held), open);
    if (ready) return std::move(*ready);
    if (ready.error().code != ErrorCode::corrupt) return std::unexpected(std::move(ready).error());
    blobs.clear();
    bool damaged = false;  // by what happened to the disk: fetched again. Else the image itself is wrong
    for (const StoredLayer& layer : image.layers) damaged |= !store_.blob(layer.digest, true);
    if (damaged) return std::nullopt;
    return std::unexpected(std::move(ready).error());
  }

  // The image with all its layers unpacked.
  Result<ReadyImage> unpacked(StoredImage image, LayerLeases held, const OpenBlob& open) {
    ReadyImage ready;
    ready.cached = held.complete();
    progress_.layers = image.layers.size();
    if (!ready.cached) {
      TRY(unpack_layers(store_, image.layers, held, open, ready.notes, [&](std::size_t done) {
        progress_.layers_done = done;
        tell(PullProgress::Phase::unpacking);
      }));
    }
    progress_.layers_done = progress_.layers;
    TRY_ASSIGN(ready.layers, visible_layers(image.layers, std::move(held)));
    ready.image = std::move(image);
    return ready;
  }

  // Writes what was found, unless it is on record already.
  Result<void> remember(ReadyImage& ready, const Descriptor& manifest, const Descriptor& config, const std::string& origin) {
    ready.image.pulled = std::time(nullptr);
    ImageRecord fresh{ready.image, manifest, config, origin};
    if (const auto known = find_record(store_, reference_, options_.platform)) {
      fresh.image.pulled = known->image.pulled;
      if (fresh == *known) {
        ready.image.pulled = known->image.pulled;
        return {};
      }
      fresh.image.pulled = ready.image.pulled;
    }
    return write_record(store_, fresh);
  }

  [[nodiscard]] StoredImage stored(const Image& image) const {
    StoredImage found;
    found.reference = reference_;
    found.digest = found.manifest_digest = image.manifest_digest;
    found.platform = options_.platform;
    found.config = image.config;
    const bool keep_owners = keeps_owners();
    for (const ImageLayer& layer : image.layers) {
      found.layers.push_back({layer.digest, layer.diff_id, layer.size, image_layer_key(layer.diff_id, keep_owners)});
    }
    return found;
  }

  // ---- layouts: read where they lie

  Result<ReadyImage> from_layout() {
    TRY_ASSIGN(const ImageLayout layout, ImageLayout::open(reference_.path));
    TRY_ASSIGN(const Image image, layout.image(reference_, options_.platform));
    const auto open = [&](const StoredLayer& layer) {
      ImageLayer blob;
      for (const ImageLayer& known : image.layers) {
        if (known.digest == layer.digest) blob = known;
      }
      return layout.open_layer(blob);
    };
    StoredImage found = stored(image);
    TRY_ASSIGN(LayerLeases held, lease_layers(store_, found.layers));
    TRY_ASSIGN(ReadyImage ready, unpacked(std::move(found), std::move(held), open));
    TRY(remember(ready, {}, {}, ""));
    return ready;
  }

  Store& store_;
  ImageReference reference_;
  const PullOptions& options_;
  const TellPull& tell_;
  PullProgress progress_;
};

}  // namespace

Result<ReadyImage> pull_image(Store& store, const ImageReference& reference, const PullOptions& options, const TellPull& tell) {
  auto ready = Pull(store, reference, options, tell).run();
  if (ready) return ready;
  const Error& error = ready.error();
  const std::string name = error.what.starts_with("image ") ? "" : fmt::format("image {}: ", in_quotes(to_text(reference)));
  return fail(error.code, name + error.what, error.errno_value, error.where);
}

Result<std::vector<StoredImage>> list_images(const Store& store) {
  std::vector<StoredImage> images;
  for (ImageRecord& record : all_records(store)) images.push_back(std::move(record.image));
  return images;
}

Result<std::optional<StoredImage>> find_image(const Store& store, const ImageReference& reference, const Platform& platform) {
  TRY_ASSIGN(const ImageReference wanted, absolute(reference));
  auto record = find_record(store, wanted, platform);
  if (!record && is_pinned(wanted)) record = find_record_by_digest(store, wanted, platform);
  if (!record) return std::nullopt;
  return std::move(record->image);
}

}  // namespace casemate
