// installer: uv or pip, run in a cell of its own to fill a virtual environment.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/outcome.h"
#include "casemate/result.h"
#include "image/interpreter.h"
#include "image/package_index.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate {

/// Where every environment lies in every cell; its programs have this path in their first lines.
inline constexpr std::string_view kEnvironmentMountPoint = "/casemate/env";

/// Runs one job to its end; how this room uses an engine it may not depend on.
using RunJob = std::function<Result<JobResult>(Job job, std::function<void(Stream, std::string_view)> on_output)>;

/// One line of progress for a person ("environment: resolved 3 packages", "environment: downloading numpy (16.1MiB)"), printable, at most
/// ten a second.
using Progress = std::function<void(std::string_view line)>;

/// Why an environment could not be made. `log` has the installer's own words: printable, without secrets, at most 256 KiB.
struct EnvironmentFailure {
  Error error;
  std::string log;
};

/// What an installer did.
struct Installed {
  std::string installer;  ///< "uv 0.9.1", "pip 23.2.1"
  std::string log;        ///< as in EnvironmentFailure
};

/// The uv to use: $CASEMATE_UV, uv on PATH, beside this program, in ~/.local/bin or ~/.cargo/bin; "" if there is none, or CASEMATE_UV is
/// "none". Only real programs: scripts (pyenv's shims) would need more of the host than a cell has.
std::string find_uv();

/// Writes a virtual environment without packages for kEnvironmentMountPoint into `directory` (PEP 405: pyvenv.cfg, bin/python,
/// site-packages). Runs nothing.
Result<void> write_bare_environment(const std::string& directory, const Interpreter& interpreter);

/// Fills the empty `directory`, which must be on the file system of `store`, with an environment that has what `installation` asks for. See
/// docs/design/environments.md for the cells that this takes and what each may touch. They run on `root`, which has the interpreter.
std::expected<Installed, EnvironmentFailure> install(const std::string& directory, const Interpreter& interpreter, const Root& root,
                                                     const Installation& installation, Store& store, std::chrono::milliseconds wall,
                                                     const RunJob& run, const Progress& progress);

/// An installer's output with the file at `path`, which we wrote for it, called by the user's own: `origins` has for each of its lines
/// where the user wrote it ("wanted.txt:4"), "" for lines of ours. A line number that leads nowhere is left out.
[[nodiscard]] std::string in_users_words(std::string_view log, std::string_view path, const std::vector<std::string>& origins);

/// The most telling line of an installer's output, without decoration: "Because you require six==1.16 and six==1.15, ...". "" if there is
/// none.
[[nodiscard]] std::string telling_line(std::string_view log);

/// What of one output line of uv or pip a person wants to see while waiting: "downloading numpy (16.1MiB)"; "" for the rest.
[[nodiscard]] std::string progress_of_line(std::string_view line);

}  // namespace casemate
