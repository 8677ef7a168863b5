// project_layers: layer_spec's values become layers of the store, each made once and found again as long as nothing it is made of changed.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/installer.h"
#include "image/layer_spec.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate {

/// What making layers needs.
struct LayerContext {
  Store& store;
  std::string project;  ///< host directory that relative paths and patterns are of; absolute
  RunJob run;           ///< for commands and environments
  Progress progress;
};

/// Puts `specs` over the root, in order: later ones lie over earlier ones. Every path that a layer is made of is the caller's and is read
/// as such; what lies in it (names, links) never leads a write out of the layer. not_found, invalid_input and refused name the layer
/// ("layers[2]: glob '**.py'", "requirements 'r.txt'") and the file.
Result<void> add_layers(Root& root, const std::vector<LayerSpec>& specs, const LayerContext& context);

}  // namespace casemate
