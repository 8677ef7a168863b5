// job_check: which jobs make sense, before any step is planned. Pure, as compile() is.
#pragma once

#include <string>
#include <string_view>

#include "casemate/job.h"
#include "casemate/result.h"
#include "cell/host.h"

namespace casemate {

/// An absolute path of the cell made relative to its root, without empty or "." parts; "" for the root itself. invalid_input, with `what`
/// the path is, for a relative one, "..", or a NUL byte.
Result<std::string> place_inside(std::string_view path, std::string_view what);

/// True for a place (as place_inside() gives it) that the cell itself depends on, so that no mount may hide or double it.
[[nodiscard]] bool reserved_place(std::string_view path);

/// Where overlays' writable parts are made on image `host`, relative to the root; gone before the job starts.
inline constexpr const char* kLayersPlace = ".layers";

/// Whether each limit is one that can be held, wherever the job runs. invalid_input says the least.
Result<void> check_limits(const Limits& limits);

/// Everything about a job that can be wrong without looking at its mounts one by one: command, environment, root, ids, limits. Errors as
/// compile() documents them.
Result<void> check_job(const Job& job, const HostFacts& host);

}  // namespace casemate
