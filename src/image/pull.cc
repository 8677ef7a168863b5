// Theory of operation. An image is found in four places, from cheap to dear: its record and its unpacked layers in the store; the layers'
// blobs in the store; a directory of an earlier pull that was killed; the registry. Whatever was missing further up is made from further
// down, layer by layer, and each step is whole or not there: a layer is published by rename, a blob is renamed once its digest is right, a
// record is written last. So a pull that dies anywhere leaves only things that the next one finds.
#include "image/pull.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/digest.h"
#include "image/catalogue.h"
#include "image/layer_cache.h"
#include "image/pull_place.h"
#include "image/registry.h"
#include "image/skopeo.h"

namespace casemate {
namespace {

using Kind = ImageReference::Kind;
using Policy = PullOptions::Policy;

// What skopeo may write for an archive, whose sizes nobody announces: the largest layer that is unpacked, twice.
constexpr std::uint64_t kMostArchive = 64ull << 30;

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
        case Kind::registry:
          return from_registry();
        case Kind::oci_layout:
          return from_layout();
        case Kind::oci_archive:
        case Kind::docker_archive:
        case Kind::docker_daemon:
          return from_archive();
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
  std::optional<ImageRecord> record() const { return find_any_record(store_, reference_, options_.platform); }

  Result<ReadyImage> only_from_store() {
    auto found = record();
    const std::string advice = fmt::format("get it with `casemate image pull {}`", to_text(reference_));
    if (!found) return fail(ErrorCode::not_found, "it is not in the store: " + advice);
    TRY_ASSIGN(std::optional<ReadyImage> ready, from_blobs(std::move(found->image)));
    if (!ready) return fail(ErrorCode::not_found, "some of its layers are no longer in the store: " + advice);
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
      const auto told = [&](std::size_t done) {
        progress_.layers_done = done;
        tell(PullProgress::Phase::unpacking);
      };
      TRY(unpack_layers(store_, image.layers, held, open, ready.notes, told, teller_of_waiting()));
    }
    progress_.layers_done = progress_.layers;
    TRY_ASSIGN(ready.layers, visible_layers(image.layers, std::move(held)));
    ready.image = std::move(image);
    return ready;
  }

  // Writes what was found, unless it is on record already.
  Result<void> remember(ReadyImage& ready, const Descriptor& manifest, const Descriptor& config, const std::string& origin) {
    ImageRecord fresh{ready.image, manifest, config, origin};
    const auto known = find_record(store_, reference_, options_.platform);
    if (known) fresh.image.pulled = ready.image.pulled = known->image.pulled;
    if (known && fresh == *known) return {};
    fresh.image.pulled = ready.image.pulled = std::time(nullptr);
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
    const auto open = [&](const StoredLayer& layer) { return layout.open_layer(layer.digest, layer.size); };
    StoredImage found = stored(image);
    TRY_ASSIGN(LayerLeases held, lease_layers(store_, found.layers));
    TRY_ASSIGN(ReadyImage ready, unpacked(std::move(found), std::move(held), open));
    TRY(remember(ready, {}, {}, ""));
    return ready;
  }

  // ---- registries

  Result<ReadyImage> from_registry() {
    const auto known = record();
    if (known && (options_.policy != Policy::always || is_pinned(reference_))) {
      TRY_ASSIGN(std::optional<ReadyImage> ready, from_blobs(known->image));
      if (ready) {
        ready->image.reference = reference_;
        if (known->image.reference != reference_) TRY(remember(*ready, known->manifest, known->config, ""));
        return std::move(*ready);
      }
    }
    TRY_ASSIGN(const Skopeo skopeo, Skopeo::find(options_.access, options_.stall));
    tell(PullProgress::Phase::resolving);
    TRY_ASSIGN(const RegistryImage found, resolve_in_registry(skopeo, reference_, options_.platform));
    const StoredImage image = stored(found);
    TRY_ASSIGN(std::optional<ReadyImage> ready, from_blobs(image));
    if (!ready) {
      TRY_ASSIGN(PullPlace place, PullPlace::open(store_, image.manifest_digest.substr(7), teller_of_waiting()));
      if (place.waited()) {
        TRY_ASSIGN(ready, from_blobs(image));
      }
      if (!ready) {
        TRY_ASSIGN(ready, fetched(skopeo, place, image));
      }
    }
    TRY(store_.put_blob(found.manifest));
    TRY(store_.put_blob(found.config_bytes));
    TRY(remember(*ready, found.resolved.descriptor, found.resolved.manifest.config, ""));
    return std::move(*ready);
  }

  [[nodiscard]] StoredImage stored(const RegistryImage& found) const {
    StoredImage image;
    image.reference = reference_;
    image.digest = found.digest;
    image.manifest_digest = found.resolved.descriptor.digest;
    image.platform = options_.platform;
    image.config = found.config;
    const bool keep_owners = keeps_owners();
    for (const LayerDescriptor& layer : found.resolved.manifest.layers) {
      const std::string& diff_id = found.config.diff_ids[image.layers.size()];
      image.layers.push_back({layer.blob.digest, diff_id, layer.blob.size, image_layer_key(diff_id, keep_owners)});
    }
    return image;
  }

  Result<ReadyImage> fetched(const Skopeo& skopeo, PullPlace& place, const StoredImage& image) {
    auto ready = fetched_once(skopeo, place, image);
    // What lay on our disk was damaged: without it, once more.
    if (!ready && ready.error().code == ErrorCode::corrupt && drop_damaged(place, image)) ready = fetched_once(skopeo, place, image);
    // What came whole need not come again, whatever was wrong with the rest.
    const auto adopted = place.adopt(store_, image.layers, !ready);
    if (ready && !adopted) return std::unexpected(adopted.error());
    return ready;
  }

  Result<ReadyImage> fetched_once(const Skopeo& skopeo, PullPlace& place, const StoredImage& image) {
    TRY_ASSIGN(LayerLeases held, lease_layers(store_, image.layers));
    std::vector<StoredLayer> wanted;
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
      if (!held.leases[i]) wanted.push_back(image.layers[i]);
    }
    TRY_ASSIGN(const std::vector<StoredLayer> missing, place.prepare(store_, image.layers, wanted));
    if (!missing.empty()) {
      progress_.layers = missing.size();
      for (const StoredLayer& layer : missing) progress_.bytes += layer.size;
      TRY(fetch_layers(skopeo, to_text(with_digest(reference_, image.manifest_digest)), place, missing, options_.stall, fetch_teller()));
      progress_.bytes_done = progress_.bytes;
    }
    progress_.layers_done = 0;
    return unpacked(image, std::move(held),
                    [&](const StoredLayer& layer) { return open_file(place.blob_path(layer.digest), O_RDONLY | O_NOFOLLOW); });
  }

  // True if a blob here or in the store had other bytes than its name says; it is gone then.
  bool drop_damaged(PullPlace& place, const StoredImage& image) {
    bool damaged = false;
    for (const StoredLayer& layer : image.layers) {
      const std::string path = place.blob_path(layer.digest);
      const auto file = open_file(path, O_RDONLY | O_NOFOLLOW);
      const auto hex = file ? sha256_hex_of_fd(file->get()) : Result<std::string>(layer.digest.substr(7));
      if (hex && "sha256:" + *hex == layer.digest) continue;
      damaged |= ::unlink(path.c_str()) == 0;
      static_cast<void>(store_.blob(layer.digest, true));  // reads it, and removes it if it is the same one
    }
    return damaged;
  }

  std::function<void()> teller_of_waiting() {
    return [this] { tell(PullProgress::Phase::waiting); };
  }

  TellFetch fetch_teller() {
    tell(PullProgress::Phase::fetching);
    return [this](std::uint64_t bytes, std::size_t files) {
      progress_.bytes_done = progress_.bytes > 0 ? std::min(bytes, progress_.bytes) : bytes;
      progress_.layers_done = std::min(files, progress_.layers);
      tell(PullProgress::Phase::fetching);
    };
  }

  // ---- archives and the docker engine: skopeo makes a layout of them

  Result<ReadyImage> from_archive() {
    const bool daemon = reference_.kind == Kind::docker_daemon;
    if (reference_.kind == Kind::oci_archive && is_pinned(reference_))
      return fail(ErrorCode::not_supported, "an image in an oci-archive is picked by its tag, not by a digest");
    std::string origin;
    if (!daemon) {
      TRY_ASSIGN(origin, file_identity(reference_.path));
    }
    const auto known = record();
    if (known && known->origin == origin && (!daemon || options_.policy == Policy::missing)) {
      TRY_ASSIGN(std::optional<ReadyImage> ready, from_blobs(known->image));
      if (ready) return std::move(*ready);
    }
    TRY_ASSIGN(const Skopeo skopeo, Skopeo::find(options_.access, options_.stall));
    TRY_ASSIGN(PullPlace place,
               PullPlace::open(store_, sha256_hex(to_text(reference_) + '\n' + to_text(options_.platform)), teller_of_waiting()));
    if (place.waited()) {
      const auto meanwhile = record();
      if (meanwhile && meanwhile->origin == origin && meanwhile != known) {
        TRY_ASSIGN(std::optional<ReadyImage> ready, from_blobs(meanwhile->image));
        if (ready) return std::move(*ready);
      }
    }
    TRY(place.clear());
    TRY(place.prepare(store_, {}, {}));
    Skopeo::Copy copy;
    TRY_ASSIGN(copy.source, daemon ? Result<std::string>(to_text(reference_)) : archive_source(place));
    copy.target = "oci:layout:x";
    copy.directory = place.path();
    copy.platform = options_.platform;
    copy.watch = watch_place(place, kMostArchive, kMostArchive, options_.stall, fetch_teller());
    TRY(skopeo.copy(copy));
    return from_copy(place, origin);
  }

  // The archive by a link in the place: its own path may have what skopeo takes for the start of a name.
  [[nodiscard]] Result<std::string> archive_source(const PullPlace& place) const {
    const std::string link = place.path() + "/tmp/source";
    if (::symlink(reference_.path.c_str(), link.c_str()) < 0) return fail_errno("link to the archive");
    ImageReference source = reference_;
    source.path = "tmp/source";
    return to_text(source);
  }

  Result<ReadyImage> from_copy(PullPlace& place, const std::string& origin) {
    TRY_ASSIGN(const ImageLayout layout, ImageLayout::open(place.layout()));
    TRY_ASSIGN(const Image image, layout.image({.kind = Kind::oci_layout}, options_.platform));
    const StoredImage found = stored(image);
    TRY_ASSIGN(LayerLeases held, lease_layers(store_, found.layers));
    progress_.layers_done = 0;
    TRY_ASSIGN(ReadyImage ready, unpacked(found, std::move(held), [&](const StoredLayer& layer) {
                 return open_file(place.blob_path(layer.digest), O_RDONLY | O_NOFOLLOW);
               }));
    for (const Descriptor& document : {image.manifest, image.config_document}) {
      TRY_ASSIGN(const std::string bytes, layout.read_blob(document));
      TRY(store_.put_blob(bytes));
    }
    TRY(place.adopt(store_, found.layers, true));
    TRY(remember(ready, image.manifest, image.config_document, origin));
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
  return about(reference, ready.error());
}

Result<std::vector<StoredImage>> list_images(const Store& store) {
  std::vector<StoredImage> images;
  for (ImageRecord& record : all_records(store)) images.push_back(std::move(record.image));
  return images;
}

Result<std::optional<StoredImage>> find_image(const Store& store, const ImageReference& reference, const Platform& platform) {
  TRY_ASSIGN(const ImageReference wanted, absolute(reference));
  auto record = find_any_record(store, wanted, platform);
  if (!record) return std::nullopt;
  return std::move(record->image);
}

}  // namespace casemate
