// requirements: a pip requirements file read, checked and brought into one normal form, so that the same packages have the same text.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// A wheel or source archive on this machine that a requirement names. Its content belongs into the environment's key.
struct LocalArchive {
  std::string path;   ///< host path as the file gives it, joined to the directory of that file where it is relative
  std::string where;  ///< "requirements.txt:3"
};

/// All that a requirements file and the files it names ask for, in normal form: names as PEP 503 has them, extras and version clauses
/// sorted, comments, needless space and duplicates gone.
struct Requirements {
  std::vector<std::string> packages;     ///< sorted; "numpy<3,>=2 ; python_version < '3.13' --hash=sha256:..."
  std::vector<std::string> constraints;  ///< sorted; the same form, from -c files
  std::vector<std::string> names;        ///< for people: the packages' names in the order of the file
  /// Index options in the order of the file under their long names without dashes: {"extra-index-url", "https://..."}, {"pre", ""}.
  std::vector<std::pair<std::string, std::string>> options;
  /// Entry i stands in `packages`/`constraints` as kLocalPrefix + i + "/" + file name.
  std::vector<LocalArchive> archives;
  std::map<std::string, std::string> origins;  ///< entry of `packages` or `constraints` -> where it stood first: "requirements.txt:3"
  bool hashes = false;                         ///< some requirement carries --hash, or --require-hashes is set: then pip wants one on each
  std::string pip_only;  ///< "requirements.txt:3: --config-settings": something that only pip understands; "" if nothing
};

/// Where the cell that builds an environment finds the local archives: kLocalPrefix + "<i>/<file name>".
inline constexpr std::string_view kLocalPrefix = "/casemate/requirements/archives/";

/// Gives the bytes of a file by path; how the parser reads nested files.
using ReadRequirementsFile = std::function<Result<std::string>(const std::string& path)>;
/// Value of an environment variable for `${NAME}`, which pip expands; nullptr leaves the text as it is.
using LookUpVariable = std::function<const char*(const std::string& name)>;

/// The requirements of the file at `path` and all it names with -r and -c (beside the file that names them; at most 256 files, 16 deep, 4
/// MiB each). UTF-8, or UTF-16 with a byte order mark (what PowerShell's `>` writes). Anything that is no requirements file is one
/// invalid_input line that begins with "file:line:"; so are a cycle, a directory, and an editable install: the layer must not depend on a
/// source tree that changes. Secrets in URLs are not repeated in errors.
Result<Requirements> read_requirements(const std::string& path, const ReadRequirementsFile& read, const LookUpVariable& variable);
/// The same from the disk and the process environment; also the packages of a pyproject.toml (project_requirements.h has the spelling).
Result<Requirements> read_requirements(const std::string& path);
/// The lines of a constraints file alone (PIP_CONSTRAINT), as `constraints`.
Result<Requirements> read_constraints(const std::string& path);

/// A project name as PEP 503 compares it: lower case, runs of '-', '_' and '.' as one '-'.
[[nodiscard]] std::string normalised_name(std::string_view name);
/// `text` with the user and password of every URL in it as "***".
[[nodiscard]] std::string redacted(std::string_view text);

}  // namespace casemate
