// environment: Python packages of a requirements file, installed once for one interpreter into a read-only layer of the store.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "image/interpreter.h"

namespace casemate {

struct EnvironmentRequest {
  Interpreter interpreter;
  std::string requirements_path;  ///< host path of the requirements file; nested -r and -c are read beside it
};

/// A ready environment: bind `layer` read-only at `mount_point` and run `python`.
struct Environment {
  std::string key;          ///< sha256 over interpreter, normalised requirements, hashes, constraints, index options
  std::string layer;        ///< host directory in the store; kept from eviction while this process holds it
  std::string mount_point;  ///< fixed: "/opt/casemate/env"
  std::string python;       ///< "/opt/casemate/env/bin/python"
  std::vector<Mount> mounts;  ///< all that a cell needs to run it: the layer and the interpreter's prefix
  bool cached = false;      ///< it was there already
  std::string installer;    ///< "uv 0.9.1" or "pip 23.2.1"; "none" for an empty file
  std::string log;          ///< the installer's own words (empty if cached)
};

/// Runs one job to its end; how this room uses an engine it may not depend on.
using RunJob = std::function<Result<JobResult>(Job job, std::function<void(Stream, std::string_view)> on_output)>;

/// One line of progress for a person ("environment: resolving 3 requirements", "environment: installing numpy 2.1").
using Progress = std::function<void(std::string_view line)>;

/// Why an environment could not be made. `log` has the installer's own words.
struct EnvironmentFailure {
  Error error;
  std::string log;
};

/// The environment for a request: from the store in milliseconds where it exists, else built in a cell with the host's network by uv (found on
/// PATH or beside casemate), else venv + pip of the interpreter; pip's own configuration (PIP_*, pip.conf, netrc, proxies, certificates) is honoured.
/// Two callers of one key build it once (the second waits). A failed or killed build keeps nothing.
std::expected<Environment, EnvironmentFailure> make_environment(const EnvironmentRequest& request, const RunJob& run, const Progress& progress);

}  // namespace casemate
