// image_pull: one pull of an image by the daemon, with the user's credentials for its registry.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "casemate/result.h"
#include "docker/api.h"
#include "docker/images.h"

namespace casemate {

/// A pull under way. Its destructor forgets it; the daemon may go on.
class ImagePull {
 public:
  /// `done` is called once, later, from the reactor; it may destroy this. not_found: no such image; refused: credentials.
  static std::unique_ptr<ImagePull> start(DockerApi& api, const std::string& reference, TellDocker tell,
                                          std::function<void(Result<void>)> done);
  virtual ~ImagePull() = default;
};

}  // namespace casemate
