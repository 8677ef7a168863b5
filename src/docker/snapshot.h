// snapshot: what a container's writable layer held at one moment, for telling what one command changed of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "casemate/outcome.h"
#include "docker/api.h"
#include "docker/changes.h"
#include "engine/side_work.h"

namespace casemate {

/// One path of it, without the leading "/".
struct LayerEntry {
  LayerChange kind = LayerChange::added;
  Change::Type type = Change::Type::file;
  /// What changes with what is there; not of directories.
  struct Look {
    std::uint64_t size = 0;
    std::uint32_t mode = 0;                     ///< 07777 of it
    std::int64_t seconds = 0, nanoseconds = 0;  ///< when it was modified
    bool operator==(const Look&) const = default;
  };
  Look look;
};

/// A tree as it was at one time: what a later look is compared with.
struct LayerSnapshot {
  std::map<std::string, LayerEntry> entries;
  bool truncated = false;  ///< there were more than could be looked at
};

/// What became of a path from one snapshot to the next.
struct LayerStep {
  Change::Kind kind = Change::Kind::created;
  Change::Type type = Change::Type::file;  ///< of what is there, or was
};

/// By path. Directories count only where they were made or removed.
[[nodiscard]] std::map<std::string, LayerStep> steps_between(const LayerSnapshot& before, const LayerSnapshot& after);

class UpperLayer;

/// Takes one: a walk of the layer where that is at hand, else, or where a walk can't tell all, the daemon's list of changes and a look at
/// each (20,000 at most, some side by side).
class SnapshotTaking {
 public:
  using Done = std::function<void(Result<LayerSnapshot>)>;
  /// `layer`: the container's; null: the daemon is asked.
  SnapshotTaking(DockerApi& api, std::string container, std::shared_ptr<const UpperLayer> layer, Done done)
      : api_(api), container_(std::move(container)), layer_(std::move(layer)), done_(std::move(done)) {}
  ~SnapshotTaking();
  SnapshotTaking(const SnapshotTaking&) = delete;
  SnapshotTaking& operator=(const SnapshotTaking&) = delete;
  void begin();

 private:
  void walk();
  void list();
  void listed(const Result<DockerReply>& reply);
  void look();
  void call(DockerRequest request, std::function<void(const Result<DockerReply>&)> then);
  void end(Result<LayerSnapshot> result);

  DockerApi& api_;
  std::string container_;
  std::shared_ptr<const UpperLayer> layer_;
  Done done_;
  std::optional<Result<LayerSnapshot>> walked_;
  LayerSnapshot snapshot_;
  std::vector<std::string> waiting_;
  std::set<DockerCallId> calls_;
  std::unique_ptr<SideWork> walking_;  // last: it uses the above
};

}  // namespace casemate
