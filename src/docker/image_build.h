// image_build: one build of an image by the daemon, from a directory of ours.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "casemate/result.h"
#include "docker/api.h"
#include "docker/images.h"

namespace casemate {

/// What is to be built.
struct BuildOrder {
  std::string directory;
  std::string dockerfile;  ///< relative to it; "": Dockerfile
  std::string tag;
  std::string label;  ///< its name; its value is the tag
};

/// A build under way. Its destructor forgets it, and the daemon stops it.
class ImageBuild {
 public:
  /// `done` is called once, later, from the reactor; it may destroy this.
  static std::unique_ptr<ImageBuild> start(DockerApi& api, BuildOrder order, TellDocker tell, std::function<void(Result<void>)> done);
  virtual ~ImageBuild() = default;
};

}  // namespace casemate
