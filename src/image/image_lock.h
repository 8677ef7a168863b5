// image_lock: the file beside a project's configuration that pins tags of images to digests.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "casemate/result.h"
#include "image/reference.h"

namespace casemate {

/// casemate.lock, in the form of maelstrom-container-tags.lock, which is read as well: TOML, `version = 1`, a table a repository, in it
/// tag = "sha256:...". Repositories may be spelled as people do ("python" is "docker.io/library/python"); other keys are kept as they are.
class ImageLock {
 public:
  /// A file that does not exist is an empty lock. invalid_input names file and line.
  static Result<ImageLock> read(const std::string& path);

  /// The digest that this tag is pinned to; nullopt: none, or the reference has no tag of a registry.
  [[nodiscard]] std::optional<std::string> digest(const ImageReference& reference) const;
  /// The same reference with the digest for its tag, if it has one.
  [[nodiscard]] ImageReference pinned(const ImageReference& reference) const;
  /// Pins; false if that changes nothing.
  bool pin(const ImageReference& reference, const std::string& digest);
  /// Writes the file anew if it changed: atomic, and others' pins that came meanwhile are kept.
  Result<void> save();

 private:
  std::string path_;
  std::map<std::string, std::map<std::string, std::string>> tags_;     // repository, tag, digest
  std::map<std::string, std::map<std::string, std::string>> changed_;  // by pin()
};

}  // namespace casemate
