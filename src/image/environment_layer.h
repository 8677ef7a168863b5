// environment_layer: the packages of a requirements file as one more layer of a root.
#pragma once

#include <string>

#include "casemate/result.h"
#include "image/file_layer.h"
#include "image/layer_spec.h"
#include "image/project_layers.h"
#include "image/root.h"

namespace casemate {

/// A layer with the environment at /casemate/env for the root's Python (python3 on the image's PATH), modules compiled. On an image a
/// casemate-env.pth beside that Python's own packages makes it find these, before its own. Relative requirements are of the project. Fails
/// as make_environment() does, in one line with `label`; not_supported: image host whose first python3 lies where cells don't see it.
Result<MadeLayer> make_environment_layer(const Root& root, const EnvironmentLayer& layer, const LayerContext& context,
                                         const std::string& label);

/// Puts the programs of the environment first in the image's PATH.
void put_environment_first(Root& root);

}  // namespace casemate
