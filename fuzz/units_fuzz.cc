// Sizes and durations as people (and configuration files) write them.
#include "base/units.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

bool only_digits(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto bytes = casemate::parse_bytes(text)) {
    require(*bytes < (std::uint64_t{1} << 63));
    require(!casemate::format_bytes(*bytes).empty());
    // Up to 2^53 a plain number is itself.
    if (only_digits(text) && text.size() <= 15) require(*bytes == std::strtoull(std::string(text).c_str(), nullptr, 10));
  } else {
    require(bytes.error().code == casemate::ErrorCode::invalid_input);
    require(!(only_digits(text) && text.size() <= 15));
  }
  if (const auto duration = casemate::parse_duration(text)) {
    require(duration->count() >= 0);
    require(*duration <= std::chrono::hours(24 * 3650));
    require(!casemate::format_duration(*duration).empty());
  } else {
    require(duration.error().code == casemate::ErrorCode::invalid_input);
  }
  return 0;
}
