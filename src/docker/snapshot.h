// snapshot: what a container's writable layer held at one moment, for telling what one command changed of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "casemate/outcome.h"
#include "docker/api.h"
#include "docker/changes.h"

namespace casemate {

/// One path of it, without the leading "/".
struct LayerEntry {
  LayerChange kind = LayerChange::added;
  Change::Type type = Change::Type::file;
  std::string stamp;  ///< size, mode, time and link target, as the daemon says them
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

/// Takes one: the list of changes, and a look at each (20,000 at most, some side by side).
class SnapshotTaking {
 public:
  using Done = std::function<void(Result<LayerSnapshot>)>;
  SnapshotTaking(DockerApi& api, std::string container, Done done) : api_(api), container_(std::move(container)), done_(std::move(done)) {}
  ~SnapshotTaking();
  SnapshotTaking(const SnapshotTaking&) = delete;
  SnapshotTaking& operator=(const SnapshotTaking&) = delete;
  void begin();

 private:
  void listed(const Result<DockerReply>& reply);
  void look();
  void call(DockerRequest request, std::function<void(const Result<DockerReply>&)> then);
  void end(Result<LayerSnapshot> result);

  DockerApi& api_;
  std::string container_;
  Done done_;
  LayerSnapshot snapshot_;
  std::vector<std::string> waiting_;
  std::set<DockerCallId> calls_;
};

}  // namespace casemate
