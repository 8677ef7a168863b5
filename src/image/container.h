// container: a container as maelstrom's files spell it, in TOML: image, layers, mounts, environment and the rest, as plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "image/layer_spec.h"
#include "image/root.h"

namespace casemate {

/// The fields of a container; what was not said is unset. Field names are maelstrom's (`[containers.NAME]`, directives), with ours beside.
struct ContainerSpec {
  std::optional<std::string> image;  ///< as typed: "docker://python:3.11-slim"
  ConfigUse use{.entrypoint = false,
                .user = false};   ///< `image = {name=..., use=[...]}`; a bare name: layers, environment, working_directory
  bool use_layers = true;         ///< "layers" is among `use`
  std::vector<LayerSpec> layers;  ///< `layers`, then `added_layers`
  std::map<std::string, std::string>
      environment;  ///< `environment`, then `added_environment` over it; values as typed: "$env{X}" is the caller's to expand
  std::optional<std::string> working_directory;
  bool enable_writable_file_system = false;  ///< false: Job::read_only
  std::vector<Mount> mounts;        ///< `mounts`, then `added_mounts`; sources absolute; a bind of /sys, /proc or of a cell's device
                                    ///< to its own place is that mount, not the host's
  std::optional<Network> network;   ///< disabled, loopback: none; local: host; ours: none, host, outbound
  std::optional<std::string> user;  ///< number or name
  std::optional<std::string> group;
  Limits limits;                   ///< ours: memory, pids, cpus, disk; and timeout (seconds; 0: none)
  std::vector<std::string> notes;  ///< what means nothing here
  bool operator==(const ContainerSpec&) const = default;
};

/// One change of a container's environment.
struct EnvironmentPatch {
  bool extend = true;  ///< false: nothing but these variables remains, of the image's neither
  std::map<std::string, std::string> variables;
};

/// What one table says of a container: it is laid over what was said before. Unset: it says nothing of it.
struct ContainerPatch {
  std::optional<std::string> image;  ///< begins a container anew
  ConfigUse use{.entrypoint = false, .user = false};
  bool use_layers = true;
  std::optional<std::string> parent;                   ///< the name of a container to begin with instead
  std::optional<std::vector<std::string>> parent_use;  ///< what of it: "layers", "environment", ...; unset: all
  std::optional<std::vector<LayerSpec>> layers;        ///< in place of those before, which lie over the image
  std::vector<LayerSpec> added_layers;
  std::optional<std::vector<EnvironmentPatch>> environment;  ///< in place of those before, which lie over the image's
  std::vector<EnvironmentPatch> added_environment;
  std::optional<std::vector<Mount>> mounts;
  std::vector<Mount> added_mounts;
  std::optional<std::string> working_directory;
  std::optional<bool> enable_writable_file_system;
  std::optional<Network> network;
  std::optional<std::string> user;
  std::optional<std::string> group;
  std::optional<std::string> requirements;
  Limits limits;                                     ///< all but wall
  std::optional<std::chrono::milliseconds> timeout;  ///< 0: none
  std::optional<bool> include_shared_libraries;
  std::size_t line = 1;  ///< where its table begins
};

/// Lays a patch over a container. An image or a parent (whose container is `parent`) resets all but the limits. `$prev{X}` in a variable's
/// value is what `spec` has for X, where it has one. On the host's network a mount of sys is left out, with a note.
void apply(const ContainerPatch& patch, const ContainerSpec* parent, ContainerSpec& spec);

/// User and group as one: "NAME[:GROUP]", "" if neither is said.
[[nodiscard]] std::string user_words(const ContainerSpec& spec);

/// Takes the layer out that the field `requirements` made, and gives its file; nullopt if there is none.
std::optional<std::string> take_requirements(ContainerSpec& spec);

/// Reads the container that a whole TOML document is. `file` is for messages and, its directory, what relative paths are of. invalid_input:
/// "FILE:LINE: ..." in one line; an unknown field is told with the nearest known name. not_found: a local_path that isn't there.
Result<ContainerSpec> parse_container(std::string_view toml, const std::string& file);

/// One layer, or one mount, as an inline table: `{ glob = "**.py", strip_prefix = "src" }`. invalid_input says where.
Result<LayerSpec> parse_layer(std::string_view toml);
Result<std::vector<Mount>> parse_mount_table(std::string_view toml, const std::string& directory);

}  // namespace casemate
