// Removal of images: their records first, so that a crash leaves layers that nobody names (which eviction takes), never the reverse.
#include <set>
#include <string>

#include "image/catalogue.h"
#include "image/layer_cache.h"
#include "image/pull.h"
#include "image/pull_place.h"

namespace casemate {
namespace {

// The store's keys of all that an image consists of. Its layers may have been unpacked by root and by a user, each in a way of its own.
void add_keys(const ImageRecord& record, std::set<std::string>& layers, std::set<std::string>& blobs) {
  for (const StoredLayer& layer : record.image.layers) {
    layers.insert(image_layer_key(layer.diff_id, true));
    layers.insert(image_layer_key(layer.diff_id, false));
    blobs.insert(layer.digest);
  }
  for (const Descriptor& document : {record.manifest, record.config}) {
    if (!document.digest.empty()) blobs.insert(document.digest);
  }
  blobs.insert({record.image.digest, record.image.manifest_digest});
}

// All that the images on record consist of.
std::set<std::string> needed_keys(const Store& store) {
  std::set<std::string> needed;
  for (const ImageRecord& record : all_records(store)) add_keys(record, needed, needed);
  return needed;
}

// Removes a layer or blob unless somebody holds it, and counts it.
Result<void> remove_one(Store& store, const std::string& key, bool layer, RemovedImages& removed) {
  TRY_ASSIGN(const std::optional<std::uint64_t> freed, store.remove(key));
  if (freed) removed.bytes += *freed;
  if (layer && freed) ++removed.layers;
  if (layer && !freed && store.has(key)) ++removed.kept;
  return {};
}

}  // namespace

Result<RemovedImages> remove_images(Store& store, const std::function<bool(const StoredImage&)>& unwanted) {
  RemovedImages removed;
  std::set<std::string> layers;
  std::set<std::string> blobs;
  for (const ImageRecord& record : all_records(store)) {
    if (!unwanted(record.image)) continue;
    add_keys(record, layers, blobs);
    TRY_ASSIGN(const bool was_there, remove_record(store, record));
    removed.images += was_there ? 1 : 0;
  }
  const std::set<std::string> needed = needed_keys(store);
  for (const std::set<std::string>* keys : {&layers, &blobs}) {
    for (const std::string& key : *keys) {
      if (needed.contains(key)) continue;
      TRY(remove_one(store, key, keys == &layers, removed));
    }
  }
  sweep_pulls(store, std::chrono::seconds(0));
  return removed;
}

Result<RemovedImages> remove_orphans(Store& store) {
  RemovedImages removed;
  TRY_ASSIGN(const std::vector<StoreEntry> entries, store.entries());
  // After the entries: what a pull publishes meanwhile is not among them.
  const std::set<std::string> needed = needed_keys(store);
  for (const StoreEntry& entry : entries) {
    const bool layer = entry.kind == "layer";
    if (needed.contains(entry.key) || (layer && !entry.description.starts_with(kImageLayer))) continue;
    TRY(remove_one(store, entry.key, layer, removed));
  }
  return removed;
}

}  // namespace casemate
