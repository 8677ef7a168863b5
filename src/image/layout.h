// layout: an OCI image layout, the directory of blobs that skopeo and umoci write (OCI image-spec 1.1, image-layout.md), and the images in
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "sys/fd.h"

namespace casemate {

/// One layer of an image and where its blob is.
struct ImageLayer {
  std::string digest;   ///< of the blob
  std::string diff_id;  ///< digest of the tar in it
  std::string media_type;
  Compression compression = Compression::none;
  std::uint64_t size = 0;  ///< of the blob, bytes
  std::string path;        ///< of the blob, relative to the layout
};

/// An image: what to unpack and how to run it. Its texts are hostile.
struct Image {
  std::string manifest_digest;
  std::string config_digest;
  Descriptor manifest;  ///< the documents themselves, for read_blob()
  Descriptor config_document;
  ImageConfig config;
  std::vector<ImageLayer> layers;  ///< lowest first
};

/// An image layout opened for reading. Nothing in it is believed: documents are read within bounds and against their digests, and no
/// symlink or mount point in it is followed. May be used by several threads at once.
class ImageLayout {
 public:
  /// `directory` is the caller's word and may be a symlink. not_found: there is none, or it is no layout; not_supported: a layout of
  /// another version than 1.x.
  static Result<ImageLayout> open(const std::string& directory);

  /// The entries of index.json, in their order: images and indexes of any platform.
  [[nodiscard]] const std::vector<Descriptor>& entries() const { return index_.manifests; }

  /// The image that `wanted`'s tag or digest picks among entries(), without both the only one there is, for `platform`. Its manifest and
  /// config are verified, its layers are there and have their sizes, but are not yet read. not_found lists what there is instead;
  /// invalid_input: several could be meant, or a document is not what it must be; else as read_blob().
  [[nodiscard]] Result<Image> image(const ImageReference& wanted, const Platform& platform = host_platform()) const;

  /// A document's bytes, verified. not_found: there is no such blob; corrupt: it has another size or digest than its name says;
  /// invalid_input: more than kDocumentLimit bytes; refused: it is no regular file, or a symlink or mount point is on the way. All name the
  /// blob.
  [[nodiscard]] Result<std::string> read_blob(const Descriptor& descriptor) const;

  /// A layer's blob for reading, of the right size; whoever reads it checks the digest (unpack_layer() does), for it may change meanwhile.
  [[nodiscard]] Result<UniqueFd> open_layer(const std::string& digest, std::uint64_t size) const;

  /// Reads all layers of an image: corrupt names the first blob that is not what its name says.
  [[nodiscard]] Result<void> verify(const Image& image) const;

 private:
  ImageLayout(std::string name, UniqueFd directory, ImageIndex index)
      : name_(std::move(name)), directory_(std::move(directory)), index_(std::move(index)) {}
  [[nodiscard]] Result<UniqueFd> open_blob(const std::string& digest, std::uint64_t size) const;
  [[nodiscard]] Result<Descriptor> entry(const ImageReference& wanted, const Platform& platform) const;
  [[nodiscard]] Result<Image> read_image(const ImageReference& wanted, const Platform& platform) const;

  std::string name_;  // for errors, in quotes
  UniqueFd directory_;
  ImageIndex index_;
};

}  // namespace casemate
