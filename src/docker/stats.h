// stats: what a running container has used, as GET /containers/ID/stats tells it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// Unknown numbers are unset.
struct ContainerStats {
  std::uint64_t cpu_us = 0;  ///< user + system
  std::optional<std::uint64_t> user_us, system_us;
  std::optional<std::uint64_t> peak_memory_bytes;  ///< cgroup v1 alone tells it
};

/// corrupt: nothing that the API knows. A container that does not run has zeros.
Result<ContainerStats> parse_stats(std::string_view json);

}  // namespace casemate
