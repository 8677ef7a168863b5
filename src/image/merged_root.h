// merged_root: what a path is in a root's layers, laid over each other as overlayfs does it; for layers that are to fit over them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "image/root.h"

namespace casemate {

/// Looks into the layers of a root (image host: the host below its layers). Remembers what it saw; layers don't change.
class MergedRoot {
 public:
  explicit MergedRoot(const Root& root);
  /// Layers alone, topmost first.
  explicit MergedRoot(std::vector<std::string> layers) : layers_(std::move(layers)) {}

  /// What a path is.
  struct Place {
    enum class Kind { nothing, directory, symlink, other };
    Kind kind = Kind::nothing;
    std::uint32_t mode = 0;              ///< permission and sticky bits
    std::string target;                  ///< symlink
    std::vector<std::uint16_t> sources;  ///< whose it is; directory: the layers that have a part of it, topmost first
  };
  /// `path` is relative to the root ("usr/bin"), "" the root itself. A path behind a symlink is nothing: see resolve(). So is what can't be
  /// looked at, whatever lies below it.
  const Place& at(const std::string& path);
  /// Where a directory's path leads when the root's symlinks are followed, within the root: "bin" may be "usr/bin". What is not there is
  /// taken as a directory yet to be made. After 40 links the rest is taken as it is.
  std::string resolve(const std::string& path);

 private:
  Place look(const std::string& path);

  std::vector<std::string> layers_;  // topmost first
  std::unordered_map<std::string, Place> known_;
  std::unordered_map<std::string, std::string> resolved_;
};

}  // namespace casemate
