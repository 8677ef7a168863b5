// command_layer: what a command changes in a root, kept as a layer over it.
#pragma once

#include <string>

#include "casemate/result.h"
#include "image/file_layer.h"
#include "image/layer_spec.h"
#include "image/project_layers.h"
#include "image/root.h"

namespace casemate {

/// Runs the command on the root as it is, once, as its root user, with the image's environment and a network of its own that reaches out;
/// its changes are the layer. The key is made of the root's identity and the command: neither files of the host nor the network are part of
/// it. Where the host has no gateway for that network it runs without any; a note says so, and which files were left out (FIFOs, sockets,
/// devices). refused: it failed; the message has the last lines that it wrote. not_supported: image host, whose files nothing may change;
/// exhausted: it took more than 30 minutes, 4 GiB of memory, or disk.
Result<MadeLayer> make_command_layer(const Root& root, const CommandLayer& layer, const LayerContext& context, const std::string& label);

}  // namespace casemate
