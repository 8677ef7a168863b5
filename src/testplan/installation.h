// installation: a tool put into a root, once: what a plan asks for (apt, pip, npm, cargo, go, gem, an archive, a script, none) as commands,
// run by an executor, verified, and kept as a root for all that follows.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/result.h"
#include "image/root.h"
#include "store/store.h"
#include "testplan/models.h"

namespace casemate {

/// The strategies by name: apt, pip, npm, cargo, go, gem, archive, script, none.
[[nodiscard]] const std::vector<std::string>& install_strategies();
/// The strategy that a word means which plans use for it ("apt-get", "pip3", "crates.io"); "" for none of ours.
[[nodiscard]] std::string install_strategy(std::string_view word);

/// Reads `--install`: "apt:jq", "pip:httpie==3.2.2", "archive:URL#sha256=HEX", "script:PATH", "none"; several of one strategy are one
/// request. invalid_input otherwise, with the strategies there are; errors begin with `option`. No file is touched.
Result<InstallRequest> parse_install(const std::vector<std::string>& words, std::string_view option = "--install ");
/// A request with the host's files that it names: below `directory`, where they are not absolute, an archive by its path, a script read.
Result<InstallRequest> with_files(InstallRequest request, const std::string& directory);
/// What a plan's `install_command` asks for: "pip install httpie", "sudo apt-get update && apt-get install -y jq", "npm i -g prettier",
/// "cargo install ripgrep --version 14.1.0", "go install MODULE@v1", "gem install X -v 1.2". Anything else is a script of that text; "" is
/// an empty request. Never fails. install_tool() asks it about scripts too, since plans have such commands there.
[[nodiscard]] InstallRequest parse_install_command(std::string_view text);

/// What is to be run in the root, as its root user, by /bin/sh. The key of what it makes is of `text`, `path` and the root.
struct InstallScript {
  std::string text;               ///< ends with an error at the first command that fails; "": nothing to be done
  std::vector<Mount> mounts;      ///< an archive of the host's, read-only
  std::vector<std::string> path;  ///< directories that come first in PATH from then on
  std::string verify;             ///< says whether the tool runs, and which version it is
};
/// invalid_input for packages that a strategy's tool would not take as names ("-o", "a b", "$(x)"), a tool that is no name of a program, an
/// archive from a URL without a digest. Reads a local archive once, for its digest.
Result<InstallScript> install_script(const InstallRequest& request, const std::string& tool);
/// Where its own files lie in the cell while it runs; no part of what is kept.
inline constexpr std::string_view kInstallationPlace = "/casemate/installation";

/// Whether a failed installation might do better another time: a network that was away, a registry's 5xx, a broken download. A package or
/// version that doesn't exist, a digest that lies, a full disk never do.
[[nodiscard]] bool may_be_retried(std::string_view log);
/// The line of an installer's log that says most, printable ("E: Unable to locate package foo").
[[nodiscard]] std::string telling_install_line(std::string_view log);
/// The last 20 lines of an installer's log under a heading that says how many there are, and `rest`: where the others can be read, "" for
/// nowhere; "" for an empty log.
[[nodiscard]] std::string end_of_log(std::string_view log, std::string_view rest);
/// pip names all the versions that there are: the last three of them.
[[nodiscard]] std::string with_few_versions(std::string text);

/// A root with the tool in it.
struct InstalledTool {
  Job base;              ///< root, environment, user and limits for all that follows; no command
  std::string strategy;  ///< the one that was used
  InstallRequest used;   ///< the request as it was carried out: strategy and packages, where nobody had said them
  std::string version;   ///< first line of what verification said
  std::string log;       ///< of the installation, whole, bounded by 16 MiB a try; of the one that is kept, where it is cached
  bool cached = false;   ///< nothing was run
  std::chrono::milliseconds took{0};
  unsigned attempts = 0;                                  ///< 0: cached
  std::vector<std::string> notes;                         ///< for people: what was found out, what was left out of the layer
  std::vector<std::shared_ptr<const StoreLease>> leases;  ///< of the layers that were laid over the root
};

/// Why there is no tool, and all that was said on the way.
struct InstallFailure {
  Error error;  ///< refused: it failed, or the tool does not run; its last telling line
  std::string log;
};

/// What an installation may take: 4 GiB of memory, 8 GiB and a million files on disk, 20 minutes.
[[nodiscard]] Limits installation_limits();

/// What an installation runs on, and how patient it is.
struct InstallSurroundings {
  Engine& engine;
  Store* store = nullptr;  ///< where layers and records are kept; nullptr: the caller's cache (Store::open())
  unsigned retries = 3;    ///< on network errors only
  std::chrono::milliseconds wait = std::chrono::seconds(1);  ///< before the first retry, then doubling, with jitter
  Limits limits = installation_limits();                     ///< of one try; beyond wall the try has failed
  bool again = false;                                        ///< what was kept before doesn't count
  std::function<void(std::string_view line)> progress;       ///< what is begun, each try with its number
  std::function<void(std::string_view line)> output;         ///< what the installer says meanwhile, not all of it
};

/// `base`: the job of the bare root, with Job::executor; its mounts are not there while installing, its environment is (and is a part of
/// the key). Native: what changes is a layer over Job::root; docker: Executor::keep(). Found again by image, environment and script: then
/// nothing runs. Image host: strategies none and pip (an environment at /casemate/env) alone; others are not_supported, and say so.
std::expected<InstalledTool, InstallFailure> install_tool(const InstallRequest& request, const std::string& tool, Job base,
                                                          InstallSurroundings& surroundings);

}  // namespace casemate
