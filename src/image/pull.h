// pull: images come into the store: fetched by skopeo, kept by digest, found again without asking anybody.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "image/layout.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "store/store.h"

namespace casemate {

/// How registries are reached: what skopeo is told. Without any of it skopeo's own files count (containers-registries.conf(5),
/// containers-auth.json(5), containers-certs.d(5)), mirrors with them.
struct RegistryAccess {
  bool verify_tls = true;      ///< false: also plain http and any certificate
  std::string authfile;        ///< "": $REGISTRY_AUTH_FILE and skopeo's defaults
  std::string cert_directory;  ///< "*.crt", "*.cert", "*.key" for this registry; "": skopeo's defaults
  /// Asked ten times a second while skopeo runs; true ends it and the pull fails as `cancelled`. For those who have signals blocked.
  std::function<bool()> cancelled = {};
};

/// How an image is got.
struct PullOptions {
  enum class Policy {
    missing,  ///< ask nobody when the store has it
    always,   ///< ask whether the tag has moved
    never,    ///< only what the store has
  };
  Policy policy = Policy::missing;
  Platform platform = host_platform();
  RegistryAccess access;
  std::chrono::milliseconds stall = std::chrono::seconds(60);  ///< no byte for this long: the registry is given up
};

/// How far a pull is. Called a few times a second, and at each change of `phase`; from any thread, by one at a time.
struct PullProgress {
  enum class Phase {
    resolving,
    waiting,  ///< another process is getting this image, or unpacking a layer of it
    fetching,
    unpacking,
    done,
  };
  Phase phase = Phase::resolving;
  std::string image;  ///< as the user named it
  std::size_t layers = 0;
  std::size_t layers_done = 0;  ///< of this phase
  std::uint64_t bytes = 0;      ///< compressed, of all layers that had to be fetched; 0: not known
  std::uint64_t bytes_done = 0;
};
using TellPull = std::function<void(const PullProgress&)>;

/// One layer of an image as the store has it.
struct StoredLayer {
  std::string digest;   ///< of the blob: "sha256:<hex>"
  std::string diff_id;  ///< of the tar
  std::uint64_t size = 0;
  std::string key;  ///< of the store's layer
};

/// An image that the store knows. Plain data; its layers may have been evicted since.
struct StoredImage {
  ImageReference reference;     ///< what was asked for
  std::string digest;           ///< of what the tag named: the index, or the manifest where there is no index; what a lock pins
  std::string manifest_digest;  ///< of the manifest for this platform
  Platform platform;
  ImageConfig config;
  std::vector<StoredLayer> layers;  ///< lowest first
  std::int64_t pulled = 0;          ///< Unix seconds
};

/// An image whose layers are unpacked, and kept from eviction while this lives.
struct ReadyImage {
  StoredImage image;
  std::vector<StoreLease> layers;  ///< lowest first; without those that an opaque root hides
  bool cached = false;             ///< nothing had to be fetched or unpacked
  std::vector<std::string> notes;  ///< what unpacking left out; only when it was done now
};

/// Gets an image of any kind but host and root_directory: from the store if `options` allow, else by skopeo (oci_layout: read as it is),
/// and unpacks the layers that the store has not, each once whoever asks. All or nothing; what a killed pull had fetched whole is not
/// fetched again. not_found: no such image (registry, file, or policy never); refused: a registry that wants other credentials, TLS that
/// does not hold, a registry that lies (wrong digest or size), a layer that unpack_layer() refuses; not_supported: no skopeo, or as
/// manifest.h says; exhausted: disk full, or no answer within `stall`. One line each, with the image's name. Waits for another process that
/// is pulling the same image, and tells so (Phase::waiting).
Result<ReadyImage> pull_image(Store& store, const ImageReference& reference, const PullOptions& options, const TellPull& tell = {});

/// All images that the store knows, by name; damaged records are left out.
Result<std::vector<StoredImage>> list_images(const Store& store);

/// What the store knows of an image; nullopt: nothing.
Result<std::optional<StoredImage>> find_image(const Store& store, const ImageReference& reference,
                                              const Platform& platform = host_platform());

/// What remove_images() did.
struct RemovedImages {
  std::size_t images = 0;
  std::size_t layers = 0;
  std::uint64_t bytes = 0;  ///< freed
  std::size_t kept = 0;     ///< layers that no image needs any more and that stay all the same: somebody holds them
};
/// Forgets the images for which `unwanted` is true, and removes blobs and layers that no other image needs and nobody uses. Layers of
/// environments and projects stay.
Result<RemovedImages> remove_images(Store& store, const std::function<bool(const StoredImage&)>& unwanted);

/// Removes layers and blobs of images that no record needs any more, as when a tag has moved, but for what somebody holds (a pull that is
/// under way, a job). Blobs of the store are images' alone. `kept` counts those that remove_images() has left as well.
Result<RemovedImages> remove_orphans(Store& store);

/// Records an image of another place under the name `name` (registry, with a tag), as if it had been pulled from there. Its blobs are
/// copied into the store: the source may go away. A source of a registry that is on record is taken as the store has it, whatever
/// `options` say: to rename an image nobody is asked. A layout, an archive or an image of the docker engine that was not on record before
/// is not afterwards: it was only the way in. A registry's stays.
Result<StoredImage> import_image(Store& store, const ImageReference& source, const ImageReference& name, const PullOptions& options,
                                 const TellPull& tell = {});

/// Writes an image of the store to `target` (oci_layout, oci_archive or docker_archive), which must not exist. Of an image that was pulled
/// from a layout the store has no blobs: they are read there. not_found: the store does not know it, or no longer has its blobs (pull it
/// again), or its layout is gone or has another image by now; corrupt: a blob of the layout is damaged.
Result<void> export_image(Store& store, const ImageReference& reference, const ImageReference& target,
                          const Platform& platform = host_platform());

}  // namespace casemate
