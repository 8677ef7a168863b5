#include "apps/image/orphans.h"

#include <set>
#include <string>

#include "image/catalogue.h"
#include "image/layer_cache.h"

namespace casemate {
namespace {

constexpr std::string_view kImageLayer = "image layer: ";  // how image/layer_cache describes its layers

// The keys of all that images on record consist of, whoever unpacked them.
std::set<std::string> needed_keys(const Store& store) {
  std::set<std::string> needed;
  for (const ImageRecord& record : all_records(store)) {
    for (const StoredLayer& layer : record.image.layers) {
      needed.insert({image_layer_key(layer.diff_id, true), image_layer_key(layer.diff_id, false), layer.digest});
    }
    needed.insert({record.manifest.digest, record.config.digest, record.image.digest, record.image.manifest_digest});
  }
  return needed;
}

}  // namespace

Result<RemovedImages> remove_orphans(Store& store) {
  RemovedImages removed;
  TRY_ASSIGN(const std::vector<StoreEntry> entries, store.entries());
  // After the entries: what a pull publishes meanwhile is not among them.
  const std::set<std::string> needed = needed_keys(store);
  for (const StoreEntry& entry : entries) {
    const bool layer = entry.kind == "layer";
    if (needed.contains(entry.key) || (layer && !entry.description.starts_with(kImageLayer))) continue;
    TRY_ASSIGN(const std::optional<std::uint64_t> freed, store.remove(entry.key));
    if (!freed) continue;
    removed.bytes += *freed;
    removed.layers += layer ? 1 : 0;
  }
  return removed;
}

}  // namespace casemate
