// programs: what is installed on this host that casemate makes use of, and the room it has.
#pragma once

#include <string>
#include <vector>

#include "cell/host.h"
#include "sys/probe.h"

namespace casemate {

/// The nearest directory above or at `path` that exists: where a directory that is yet to be made will lie.
[[nodiscard]] std::string existing_directory(std::string path);

/// Id ranges, network gateways, Python and its installers, disk space, what images need: a row each.
std::vector<HostFeature> probe_programs(const HostFacts& host, const std::string& cache_directory);

}  // namespace casemate
