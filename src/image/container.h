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
};

/// Reads the container that a whole TOML document is. `file` is for messages and, its directory, what relative paths are of. invalid_input:
/// "FILE:LINE: ..." in one line; an unknown field is told with the nearest known name. not_found: a local_path that isn't there.
Result<ContainerSpec> parse_container(std::string_view toml, const std::string& file);

/// One layer, or one mount, as an inline table: `{ glob = "**.py", strip_prefix = "src" }`. invalid_input says where.
Result<LayerSpec> parse_layer(std::string_view toml);
Result<std::vector<Mount>> parse_mount_table(std::string_view toml, const std::string& directory);

}  // namespace casemate
