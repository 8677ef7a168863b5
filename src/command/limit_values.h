// limit_values: --memory, --cpus and --disk of front ends that run Python.
#pragma once

#include <string>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// Bytes with a unit ("2G"), 6 MiB at least; "0": no limit, as docker reads it. invalid_input says what to write.
Result<void> read_memory_limit(const std::string& value, Limits& limits);
/// CPUs ("1.5"), from 0.01 to 4096; "0": no limit.
Result<void> read_cpus_limit(const std::string& value, Limits& limits);
/// Bytes with a unit; "0": no limit, neither of files in number.
Result<void> read_disk_limit(const std::string& value, Limits& limits);

}  // namespace casemate
