// showing: images of the store as a table, as text and as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/result.h"
#include "image/pull.h"
#include "store/store.h"

namespace casemate {

/// An image and what the store has of it now.
struct ShownImage {
  StoredImage image;
  std::uint64_t bytes = 0;                          ///< of its layers as they lie on the disk; those that were evicted are not counted
  std::size_t layers_there = 0;                     ///< how many of its layers are unpacked
  std::int64_t last_used = 0;                       ///< Unix seconds: the latest of its layers, or of the pull
  bool in_use = false;                              ///< a job is using one of its layers
  std::vector<std::optional<std::uint64_t>> sizes;  ///< of each layer on the disk; unset: evicted
};

/// All images, the last used first.
Result<std::vector<ShownImage>> look_at_images(const Store& store);
/// What the store has of one.
[[nodiscard]] ShownImage look_at(const StoredImage& image, const std::map<std::string, StoreEntry>& layers);
/// The store's layers by key.
Result<std::map<std::string, StoreEntry>> layers_by_key(const Store& store);

/// The table of `casemate image list`; `now` in Unix seconds.
[[nodiscard]] std::string table_of(const std::vector<ShownImage>& images, std::int64_t now, bool colors);
/// One image in short, for the list.
[[nodiscard]] nlohmann::ordered_json list_json(const ShownImage& shown);
/// All about one image.
[[nodiscard]] nlohmann::ordered_json inspect_json(const ShownImage& shown);
/// The same for people.
[[nodiscard]] std::string inspect_text(const ShownImage& shown);

}  // namespace casemate
