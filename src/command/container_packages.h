// container_packages: packages of a file of requirements, installed by the image's own pip in a container that is kept for later runs: for
// executors whose images are not ours (Executor::keep).
#pragma once

#include <string>
#include <string_view>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// Of a requirements file's text; comments and blank lines alone are nothing to install.
[[nodiscard]] bool wants_packages(std::string_view requirements);

/// The job that installs `file` (absolute) into the image of `base` with `python`'s pip: as root, on the host's network, without limits of
/// time and output. It sees the directory of the file, read-only, for what that names with -r and -c and for archives.
[[nodiscard]] Job packages_job(Job base, const std::string& python, const std::string& file);

/// What the job's result is kept under: digest of all that the file asks for, with what it names with -r and -c, and of the archives'
/// bytes. Errors as read_requirements().
Result<std::string> packages_key(const std::string& file);

}  // namespace casemate
