// root_options: the flags of `casemate run` that choose what a job sees at "/": an image, layers over it, a container's file.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "command/pulling.h"
#include "image/container.h"
#include "image/layer_spec.h"
#include "image/reference.h"
#include "image/root.h"

namespace casemate {

/// The words of these flags as they were typed; unset: not typed.
struct RootWords {
  std::optional<std::string> image, image_config, entrypoint;
  std::string policy, container;
  std::vector<std::string> layers;
  PullWords pull;
};

/// Declares them.
void declare_root_options(CLI::App& app, RootWords& words);

/// Layers, and the directory that their relative paths are of.
struct LayerGroup {
  std::string directory;
  std::vector<LayerSpec> layers;
};

/// What a job's root shall be, before anything is fetched or made.
struct RootRequest {
  ImageReference image;  ///< host: no image
  PullOptions pull;
  bool policy_chosen = false;  ///< --pull was typed
  std::string lock;            ///< path of the lock file; "": none
  bool lock_grows = false;     ///< a tag that has no pin in it gets one
  bool image_layers = true;    ///< false: of the image only what it says of how to run, not its files
  std::vector<LayerGroup> layers;
  ConfigUse use;
  std::optional<std::string> entrypoint;           ///< in place of the image's entrypoint and cmd; "": none
  std::string user;                                ///< "NAME[:GROUP]", in the words of the root; "": the image's, or root
  std::map<std::string, std::string> environment;  ///< of the container, below the job's own; values with "$env{X}" and "$prev{X}"
  std::vector<std::string> notes;                  ///< of the container: what means nothing here

  /// Whether the host's own programs are all there is: no store is needed.
  [[nodiscard]] bool is_plain_host() const;
};

/// Reads the container that --container names; nullopt without one.
Result<std::optional<ContainerSpec>> read_container(const RootWords& words);

/// The words' meaning, with a container's below them. nullopt: nothing of it was asked for, and the job runs on the host's programs.
Result<std::optional<RootRequest>> root_request(const RootWords& words, const std::optional<ContainerSpec>& container);

/// A container's value with `$env{NAME}` (the caller's environment) and `$prev{NAME}` (`before`: what the variable was below the
/// container) put in; "$env{NAME:-text}" stands for text where there is none. invalid_input names what is not there.
Result<std::string> expand_value(const std::string& value, const std::map<std::string, std::string>& before);

}  // namespace casemate
