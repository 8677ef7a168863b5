// layer_cache: an image's layers as directories of the store: found, or unpacked from their blobs, once whoever asks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "image/pull.h"
#include "store/store.h"
#include "sys/fd.h"

namespace casemate {

/// Whether unpacked layers keep the owners that their tars name: as root with CAP_CHOWN (capabilities(7)), where cells get ids of their own
/// to which owners are shifted (may_shift_ids()). Else all files are ours, as in a container that lacks some of that: kept owners would be
/// nobody's in its cells.
[[nodiscard]] bool keeps_owners();
/// The store's key of a layer: what its tar is, and how it is unpacked.
[[nodiscard]] std::string image_layer_key(std::string_view diff_id, bool keep_owners);

/// How descriptions of these layers begin in the store.
inline constexpr std::string_view kImageLayer = "image layer: ";

/// The layers of one image on their way to being unpacked: a lease for each that is, an empty one for the rest.
struct LayerLeases {
  std::vector<StoreLease> leases;
  [[nodiscard]] bool complete() const;
};
/// Takes leases on the layers that the store has.
Result<LayerLeases> lease_layers(Store& store, const std::vector<StoredLayer>& layers);

/// The blob of a layer, at offset 0. Called by two threads at once.
using OpenBlob = std::function<Result<UniqueFd>(const StoredLayer&)>;
/// How many layers of an image are unpacked.
using TellLayers = std::function<void(std::size_t done)>;
/// Unpacks what `held` lacks, two layers at a time. The first failure ends it and names the layer; what is unpacked by then stays. `notes`
/// get what unpacking left out. `tell` is called at the start and after each layer, `waiting` when another process is at one; by one thread
/// at a time.
Result<void> unpack_layers(Store& store, const std::vector<StoredLayer>& layers, LayerLeases& held, const OpenBlob& open,
                           std::vector<std::string>& notes, const TellLayers& tell, const std::function<void()>& waiting = {});

/// The leases that a root needs, lowest first: none twice, none below an opaque root (which overlayfs does not honour).
Result<std::vector<StoreLease>> visible_layers(const std::vector<StoredLayer>& layers, LayerLeases held);

}  // namespace casemate
