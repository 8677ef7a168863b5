// upper_layer: the writable layer of a container of a daemon on this host, looked at in the directory where the daemon keeps it: dockerd
// compares the whole image to list what changed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "docker/api.h"
#include "docker/snapshot.h"
#include "sys/fd.h"

namespace casemate {

/// Directories of Docker's overlay2. Which they are the daemon says, and it is not believed: see UpperLayerSearch.
class UpperLayer {
 public:
  /// What GET /containers/ID/json says. nullopt: another storage driver, directories that this process can't open, or of another shape than
  /// overlay2 has them.
  static std::optional<UpperLayer> open(std::string_view inspected);
  /// Whether the empty file `name` lies in the layer's /dev, and whether we see what overlayfs notes there (trusted.* attributes take
  /// CAP_SYS_ADMIN in the first user namespace, xattr(7)): without that a directory that hides the image's looks like any other.
  [[nodiscard]] bool is_marked(const std::string& name) const;
  /// The layer against the image, as GET /containers/ID/changes has it (type, mode, owner, device, size, time and capability of each name;
  /// never contents). Processes of the container may go on meanwhile. not_supported, exhausted: a directory was renamed with redirect_dir,
  /// or there are more than 100,000 entries, 512 levels or 64 MiB of names: ask the daemon.
  [[nodiscard]] Result<LayerSnapshot> look(const std::stop_token& stop) const;

 private:
  UpperLayer(UniqueFd upper, std::vector<std::string> lower) : upper_(std::move(upper)), lower_(std::move(lower)) {}
  UniqueFd upper_;
  std::vector<std::string> lower_;  // topmost first
};

/// Finds the directory of a container that has not been started. A file with a random name is put into its /dev by the daemon, where the
/// container's own /dev will hide it, and has to be there, in the directory that the daemon names: a daemon in another mount namespace, in
/// a virtual machine or behind a forwarded socket may name one of ours that is not its own.
class UpperLayerSearch {
 public:
  /// `done` is called once, from the reactor, with nothing if the daemon is to be asked for changes; it may destroy this.
  using Done = std::function<void(std::shared_ptr<const UpperLayer>)>;
  UpperLayerSearch(DockerApi& api, std::string container, Done done)
      : api_(api), container_(std::move(container)), done_(std::move(done)) {}
  ~UpperLayerSearch();
  UpperLayerSearch(const UpperLayerSearch&) = delete;
  UpperLayerSearch& operator=(const UpperLayerSearch&) = delete;
  void begin();

 private:
  void mark();
  void end(std::shared_ptr<const UpperLayer> found);

  DockerApi& api_;
  std::string container_;
  Done done_;
  std::optional<UpperLayer> claimed_;
  std::optional<DockerCallId> call_;
};

}  // namespace casemate
