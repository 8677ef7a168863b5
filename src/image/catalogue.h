// catalogue: what the store knows of images: one small file each below images/, by name and platform.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "image/manifest.h"
#include "image/pull.h"
#include "store/store.h"

namespace casemate {

/// The origin of what import_image() recorded: the registry whose name it has may never have seen it.
inline constexpr const char* kImported = "imported";

/// One image on record.
struct ImageRecord {
  StoredImage image;
  Descriptor manifest;  ///< as the registry or layout has it; digest "": it is not among the store's blobs
  Descriptor config;
  std::string origin;  ///< archives: which file it was, as file_identity() says; registry: kImported, or ""; "" else

  bool operator==(const ImageRecord&) const;
};

/// The text of a record's file: a line of JSON, and a line with its digest.
[[nodiscard]] std::string to_json(const ImageRecord& record);
/// The reverse, from any bytes at all; corrupt for what to_json() does not write. The keys of layers are those of this process
/// (image_layer_key()).
Result<ImageRecord> parse_image_record(std::string_view text);

/// The record of an image; nullopt: none, or it is damaged. One small read.
std::optional<ImageRecord> find_record(const Store& store, const ImageReference& reference, const Platform& platform);
/// The same; for a reference that has a digest, and no record of its own, any of the same repository under which the digest is known.
std::optional<ImageRecord> find_any_record(const Store& store, const ImageReference& reference, const Platform& platform);
/// All records, by name; damaged ones are left out.
std::vector<ImageRecord> all_records(const Store& store);
/// Removes records that can't be read or have changed since they were written; their files' names. Their images are pulled anew when
/// wanted.
std::vector<std::string> remove_damaged_records(const Store& store);
/// Writes a record in place of the one of the same name and platform, if any. Atomic.
Result<void> write_record(Store& store, const ImageRecord& record);
/// Removes it; false: there was none.
Result<bool> remove_record(const Store& store, const ImageRecord& record);

/// The same reference with its path, if it has one, made absolute and free of symlinks: what names it from any directory. Need not exist.
Result<ImageReference> absolute(const ImageReference& reference);
/// What changes when a file is replaced or written to: device, inode, size, time of modification and of change. not_found: it is not there.
Result<std::string> file_identity(const std::string& path);

}  // namespace casemate
