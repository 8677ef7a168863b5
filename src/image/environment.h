// environment: Python packages of a requirements file, installed once for one interpreter into a read-only layer of the store.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "image/installer.h"
#include "image/interpreter.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate {

/// Which packages, for which interpreter.
struct EnvironmentRequest {
  Interpreter interpreter;
  std::string requirements_path;                              ///< host path of the requirements file; nested -r and -c are read beside it
  std::chrono::milliseconds wall = std::chrono::minutes(30);  ///< for each run of an installer
  Root root = {};                                             ///< where the interpreter is: host, or the image that it was found in
  Store* store = nullptr;                                     ///< where environments are kept; nullptr: Store::open()
};

/// A ready environment: bind `layer` read-only at `mount_point`, on the root it was made for, and run `python`.
struct Environment {
  std::string key;            ///< sha256 over interpreter, normalised requirements, hashes, constraints, index options
  std::string layer;          ///< host directory in the store; kept from eviction while `lease` lives
  std::string mount_point;    ///< fixed: "/casemate/env"
  std::string python;         ///< "/casemate/env/bin/python"
  std::vector<Mount> mounts;  ///< all that a cell needs to run it beyond default_host_paths(): the layer and the host interpreter's prefix
  bool cached = false;        ///< it was there already
  bool bytecode = false;      ///< its modules are compiled; see compile_environment()
  std::string installer;      ///< "uv 0.9.1" or "pip 23.2.1"; "none" for an empty file
  std::string log;            ///< the installer's own words (empty if cached)
  std::shared_ptr<const StoreLease> lease;
};

/// The environment for a request: from the store in milliseconds where it exists, else built in a cell with the host's network by uv, else
/// by the interpreter's pip; the caller's configuration (PIP_*, pip.conf, UV_*, netrc, proxies, certificates) is honoured. A file that asks
/// for nothing gives an environment without packages: what happens to be installed beside the interpreter is never seen. With an image, all
/// of it happens on the image, and uv comes from the host where it runs there. Two callers of one key build it once (the second waits). A
/// failed or killed build keeps nothing. Bad requirements are invalid_input with "file:line: ..."; what the installer refuses is `refused`;
/// running out of time or memory is `exhausted`.
std::expected<Environment, EnvironmentFailure> make_environment(const EnvironmentRequest& request, const RunJob& run,
                                                                const Progress& progress);

/// Compiles the modules of an environment (all but tests) in a cell without network, into a layer of its own that later calls of
/// make_environment() find first. Without it every start compiles what it imports again, since the layer is read-only. For after a result
/// is out: it takes longer than many an installation (docs/design/environments.md has figures). True if there is such a layer now; false if
/// a module's package made that impossible, which harms nobody.
Result<bool> compile_environment(const Environment& environment, const EnvironmentRequest& request, const RunJob& run);

}  // namespace casemate
