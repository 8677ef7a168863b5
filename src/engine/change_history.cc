#include "engine/change_history.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace casemate {
namespace {

const SeenEntry* entry_of(const SeenTree& tree, const std::string& path) {
  const auto found = tree.find(path);
  return found == tree.end() ? nullptr : &found->second;
}

bool is_there(const SeenEntry& entry) { return entry.change.kind != Change::Kind::deleted; }

// True if `judge` says so of one of the directories above.
template <class Judge>
bool any_above(const std::string& path, Judge judge) {
  for (auto slash = path.rfind('/'); slash != std::string::npos && slash > 0; slash = path.rfind('/', slash - 1)) {
    if (judge(path.substr(0, slash))) return true;
  }
  return false;
}

bool same_thing(const SeenEntry& before, const SeenEntry& after) {
  if (!before.changed && !after.changed) return true;
  const Change& a = before.change;
  const Change& b = after.change;
  if (a.type == Change::Type::directory && b.type == a.type) return true;
  return a.type == b.type && a.mode == b.mode && a.size == b.size && a.digest == b.digest && a.link_target == b.link_target &&
         a.reason == b.reason;
}

// Two walks of one layer. Of the first there is only left what is not the same in the second.
class Difference {
 public:
  Difference(const SeenTree& before, const SeenTree& after) : before_(before), after_(after) {}

  [[nodiscard]] std::vector<Change> changes(bool removals) const {
    std::vector<Change> found;
    for (const auto& [path, entry] : after_) {
      if (entry.same) continue;
      const auto kind = kind_of(path, entry);
      const SeenEntry* gone = kind == Change::Kind::deleted ? before(path) : nullptr;
      if (kind) add(found, gone ? gone->change : entry.change, *kind);
    }
    for (const auto& [path, entry] : before_) {
      if (removals && is_there(entry) && !after_.contains(path) && !gone_with_its_directory(path))
        add(found, entry.change, Change::Kind::deleted);
    }
    std::sort(found.begin(), found.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
    return found;
  }

 private:
  static void add(std::vector<Change>& found, const Change& change, Change::Kind kind) {
    found.push_back(change);
    Change& added = found.back();
    added.kind = kind;
    if (kind != Change::Kind::deleted) return;
    added.digest.clear();
    added.link_target.clear();
    added.size = 0;
  }

  // At the walk before.
  [[nodiscard]] const SeenEntry* before(const std::string& path) const {
    if (const SeenEntry* entry = entry_of(before_, path)) return entry;
    const SeenEntry* entry = entry_of(after_, path);
    return entry && entry->same ? entry : nullptr;
  }

  [[nodiscard]] std::optional<Change::Kind> kind_of(const std::string& path, const SeenEntry& now) const {
    const SeenEntry* then = before(path);
    const bool was = then ? is_there(*then) : was_below(path, now);
    if (is_there(now) && !was) return Change::Kind::created;
    if (!is_there(now)) return was ? std::optional(Change::Kind::deleted) : std::nullopt;
    if (then ? same_thing(*then, now) : !now.changed) return std::nullopt;
    return Change::Kind::modified;
  }

  // Whether something had this name when the layer had nothing there: the lower layers', unless a directory above had hidden them.
  [[nodiscard]] bool was_below(const std::string& path, const SeenEntry& now) const {
    if (now.change.kind == Change::Kind::created) return false;
    return !any_above(path, [this](const std::string& above) {
      const SeenEntry* entry = before(above);
      return entry && (!is_there(*entry) || entry->change.type != Change::Type::directory || entry->change.kind == Change::Kind::created);
    });
  }

  // The entry of a directory above says it all.
  [[nodiscard]] bool gone_with_its_directory(const std::string& path) const {
    return any_above(path, [this](const std::string& above) {
      if (const SeenEntry* now = entry_of(after_, above)) return !is_there(*now) || now->change.type != Change::Type::directory;
      const SeenEntry* then = before(above);
      return then && is_there(*then);
    });
  }

  const SeenTree& before_;
  const SeenTree& after_;
};

}  // namespace

Result<CollectedFiles> ChangeHistory::next(int upper_fd, const std::stop_token& stop) {
  SeenTree now;
  CollectOptions options;
  options.lower = lower_;
  options.known = &last_;
  options.seen = &now;
  options.stop = stop;
  TRY_ASSIGN(CollectedFiles found, collect(upper_fd, options));
  const bool complete = !found.truncated && !last_truncated_;
  found.changes = Difference(last_, now).changes(complete);
  for (Change& change : found.changes) change.path.insert(0, prefix_);
  last_truncated_ = std::exchange(found.truncated, !complete);
  if (last_truncated_) now.merge(last_);  // what was not looked at
  last_ = std::move(now);
  return found;
}

}  // namespace casemate
