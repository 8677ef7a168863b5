// remote_options: the flags that say which remote execution engine runs jobs, for all front ends; below them the environment, casemate.toml
// of the project and the user's.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"

namespace CLI {
class App;
}  // namespace CLI

namespace casemate {

/// The engine to use. `headers` and what the files hold are secrets: they go into no output, history or message.
struct RemoteChoice {
  std::string address;   ///< as typed: grpc://HOST:PORT, grpcs://HOST:PORT, unix:/PATH
  std::string named_by;  ///< "FILE:LINE", where a project's casemate.toml alone names it; else ""
  std::string cache;     ///< of the storage, where that is another one; "": the same
  std::string instance;
  std::vector<std::pair<std::string, std::string>> headers;     ///< names in lower case
  std::vector<std::pair<std::string, std::string>> properties;  ///< platform properties
  std::string ca, certificate, key;                             ///< paths of PEM files; "": none
  std::string token_file;                                       ///< path; its first line is sent as a bearer token
  int priority = 0;                                             ///< less is sooner
  std::optional<std::chrono::milliseconds> timeout;             ///< of one execution, waiting in the queue included
  std::optional<std::chrono::milliseconds> patience;            ///< how long an engine that does not answer is tried again; unset: 60 s
  bool image_as_property = false;                               ///< the engine's workers have images: container-image
  bool fallback = false;                                        ///< what the engine can't run is run here
};

/// The words of these flags as they were typed; empty: not typed.
struct RemoteWords {
  std::string address, cache, instance, ca, certificate, key, token_file, priority, timeout, patience, image;
  std::vector<std::string> headers, properties;  ///< "NAME=VALUE"
  bool fallback = false;
  bool off = false;  ///< `--remote ""`: none, whoever names one
};

/// Declares them, with bazel's names for the same things beside ours.
void declare_remote_options(CLI::App& app, RemoteWords& words);

/// Of the flags that say how an engine is used, the first that was typed; "": none was.
[[nodiscard]] std::string typed_remote_flag(const RemoteWords& typed);

/// The flags' meaning, with $CASEMATE_REMOTE... below them, then [remote] of the first casemate.toml in `directory` and above it, then of
/// casemate/casemate.toml in $XDG_CONFIG_HOME (whose credentials are for no engine that the project's file
/// alone names). nullopt: nobody names an engine, or RemoteWords::off. invalid_input: "ORIGIN: what", for unknown keys too, and for flags
/// of an engine without any.
Result<std::optional<RemoteChoice>> remote_choice(const RemoteWords& words, const std::string& directory);

/// That a project's file, which may be somebody else's, says where the command runs; "": it does not.
[[nodiscard]] std::string project_engine_note(const RemoteChoice& choice);

/// The same as TOML with who set each, without secrets; "": nothing of it is set.
Result<std::string> print_remote_options(const RemoteWords& words, const std::string& directory);

}  // namespace casemate
