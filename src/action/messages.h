// messages: the messages that an action consists of, as canonical bytes (protobuf's wire format; build.bazel.remote.execution.v2 of
// remote_execution.proto). Written by hand: a few fields, and equal messages must be equal bytes, which no library promises.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "action/blob.h"
#include "action/input_directory.h"

namespace casemate {

/// What an engine is to know of where an action runs: names and values; a name may be there more than once.
using PlatformProperties = std::vector<std::pair<std::string, std::string>>;

/// A Command. All strings must be UTF-8.
struct ActionCommand {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::vector<std::string> output_paths;  ///< relative to working_directory; in any order
  /// The same before API 2.1. Later engines pass them over where there are output_paths.
  std::vector<std::string> output_files, output_directories;
  std::string working_directory;  ///< relative to the input root; "" is that
  PlatformProperties platform;    ///< in any order; API 2.1 and before look for it here, later ones in the action
};

/// An Action.
struct ActionContent {
  BlobDigest command;
  BlobDigest input_root;
  std::optional<std::chrono::milliseconds> timeout;
  bool do_not_cache = false;
  std::string salt;  ///< any bytes; actions that differ in it alone share no result
  PlatformProperties platform;
};

/// SHA-256 and size.
[[nodiscard]] BlobDigest digest_of(std::string_view bytes);
/// A blob that is at hand.
[[nodiscard]] Blob blob_of(std::string bytes);

/// Directory: its files, directories and symlinks, sorted by name; of directories the digest. `message` and `digest` of `directory` itself
/// are not looked at.
[[nodiscard]] std::string directory_message(const InputDirectory& directory);
/// Command: variables sorted by name, output paths sorted and each once, platform properties sorted by name and then value.
[[nodiscard]] std::string command_message(const ActionCommand& command);
/// Action: platform properties sorted by name and then value.
[[nodiscard]] std::string action_message(const ActionContent& action);
/// Tree: a directory and all below it, each message once, in the order in which a walk by names meets them.
[[nodiscard]] std::string tree_message(const InputDirectory& top);

}  // namespace casemate
