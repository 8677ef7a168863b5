// lower: what lay under a writable layer before the job ran.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sys/path.h"

namespace casemate {

/// Which of the lower layers have a directory at some path, topmost first, as indices.
using LayerSet = std::vector<std::uint32_t>;

/// One entry of the merged lower layers.
struct LowerEntry {
  struct stat info{};
  std::uint32_t layer = 0;  ///< whose entry it is
  LayerSet layers;          ///< directory: those that are merged into it
};

/// The lower layers of one overlay, merged as overlayfs merges them: the topmost entry wins, directories add up, whiteouts and opaque
/// directories of a layer hide what is below. Looked up name by name, never listed as a whole. Holds one fd a layer, and one more a layer
/// for the directory asked last.
class LowerLayers {
 public:
  /// `paths`: host directories, topmost first. One that can't be opened counts as empty and is named by problem().
  explicit LowerLayers(const std::vector<std::string>& paths);
  /// "" or one line.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// All layers: what the root is made of.
  [[nodiscard]] LayerSet all() const;

  /// `name` in the directory `path` ("" is the root), which the layers of `set` have.
  [[nodiscard]] std::optional<LowerEntry> find(const std::string& path, const LayerSet& set, const std::string& name);
  /// The names in that directory, at most `limit`; whiteouts may be among them, so find() each.
  [[nodiscard]] std::set<std::string> names(const std::string& path, const LayerSet& set, std::uint64_t limit);
  /// The regular file `name` of one layer, open for reading.
  [[nodiscard]] Attempt<UniqueFd> open(const std::string& path, std::uint32_t layer, const std::string& name);
  /// The target of the symlink `name` of one layer.
  [[nodiscard]] Attempt<std::string> link(const std::string& path, std::uint32_t layer, const std::string& name);

 private:
  // The directory `path` of one layer, -1 if it can't be opened; valid until another path is asked for.
  int directory(const std::string& path, std::uint32_t layer);

  std::vector<UniqueFd> roots_;
  std::string path_;
  std::map<std::uint32_t, UniqueFd> open_;
  std::string problem_;
};

/// An overlay's own attribute of a directory: `name` is "opaque", looked for as user.overlay.* and trusted.overlay.*.
[[nodiscard]] std::string overlay_attribute(int fd, const std::string& name);

}  // namespace casemate
