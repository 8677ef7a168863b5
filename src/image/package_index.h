// package_index: where packages come from: pip's configuration files, PIP_*, UV_*, proxies and certificates of the caller, for an installer
// in a cell.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "image/interpreter.h"
#include "image/requirements.h"

namespace casemate {

/// The caller's own settings.
struct PackageIndex {
  /// Options of `pip install` by long name without dashes, as pip's files and then PIP_* set them. Lists are separated by space. Only those
  /// that say where packages come from and which are taken; options about the place of installation are not ours to follow.
  std::map<std::string, std::string> pip;
  std::map<std::string, std::string> uv;           ///< UV_* that are handed on
  std::map<std::string, std::string> environment;  ///< proxies, certificates
  std::string netrc;                               ///< $NETRC or ~/.netrc where it exists
  std::string uv_configuration;                    ///< $UV_CONFIG_FILE or ~/.config/uv/uv.toml where it exists
};

/// Reads them, those of the caller on the host whoever the interpreter is (an image has no say in where packages come from): pip.conf in
/// the order pip has (https://pip.pypa.io/en/stable/topics/configuration/), PIP_CONFIG_FILE among it, then the environment. A pip.conf that
/// can't be read or parsed is invalid_input with its name and line.
Result<PackageIndex> read_package_index(const Interpreter& interpreter);

/// All that an installer in a cell is given, and what goes into the environment's key.
struct Installation {
  std::string requirements;                      ///< text of requirements.txt, index options first. May hold secrets.
  std::string constraints;                       ///< text of constraints.txt
  std::vector<std::string> requirement_origins;  ///< for each line of `requirements` where the user wrote it: "wanted.txt:3"; "" for ours
  std::vector<std::string> constraint_origins;   ///< the same for `constraints`
  std::map<std::string, std::string> uv_env;
  std::map<std::string, std::string> pip_env;
  std::vector<std::string> uv_flags;
  std::vector<std::string> pip_flags;
  std::vector<Mount> mounts;  ///< read-only: certificates, find-links directories, local archives, netrc
  bool builds = false;        ///< something is certainly built from source: a repository, a source archive, --no-binary
  std::string pip_only;       ///< something that uv can't do; "" if nothing
  std::string key;            ///< 64 hex digits over all that decides which packages come out, secrets included
};

/// Where files for the installer lie in the cell.
inline constexpr std::string_view kRequirementsDirectory = "/casemate/requirements";

/// Brings a requirements file and the caller's settings together as pip would: a file's --index-url replaces the index and the extra ones
/// set so far, its other options add to them. Reads constraints files and the content of local archives. `visible`: host paths that cells
/// see anyway.
Result<Installation> plan_installation(const Requirements& requirements, const PackageIndex& index,
                                       const std::vector<std::string>& visible);

/// pip.conf: section -> option (long name, '-' for '_') -> value, lines of a value joined by newlines. invalid_input "name:line: ...".
Result<std::map<std::string, std::map<std::string, std::string>>> parse_pip_configuration(std::string_view text, std::string_view name);

}  // namespace casemate
