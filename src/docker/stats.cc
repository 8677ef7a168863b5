#include "docker/stats.h"

#include "base/untrusted_json.h"

namespace casemate {

Result<ContainerStats> parse_stats(std::string_view text) {
  const auto json = untrusted_object(text);
  if (!json) return fail(ErrorCode::corrupt, "what the daemon tells of a container's resources can't be read");
  ContainerStats stats;
  if (const auto* cpu = member_if(*json, "cpu_stats", &nlohmann::json::is_object)) {
    if (const auto* usage = member_if(*cpu, "cpu_usage", &nlohmann::json::is_object)) {
      stats.cpu_us = number_at(*usage, "total_usage") / 1000;
      stats.user_us = number_at(*usage, "usage_in_usermode") / 1000;
      stats.system_us = number_at(*usage, "usage_in_kernelmode") / 1000;
    }
  }
  if (const auto* memory = member_if(*json, "memory_stats", &nlohmann::json::is_object)) {
    const std::uint64_t most = number_at(*memory, "max_usage");
    if (most > 0) stats.peak_memory_bytes = most;
  }
  return stats;
}

}  // namespace casemate
