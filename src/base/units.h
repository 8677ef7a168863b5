// units: what people type for sizes and durations, and how we print them and moments.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// Bytes from "64M", "1.5g", "512k", "100" or "64MiB"; b, k, m, g, t in either case, powers of 1024 as docker reads them; "0" is 0.
/// Fails with invalid_input for anything else, negative numbers and what does not fit 63 bits.
Result<std::uint64_t> parse_bytes(std::string_view text);

/// A duration from "2s", "500ms", "1m30s", "2h" or a bare number of seconds ("1.5"). Fails with invalid_input for anything else,
/// negative numbers, and more than 10 years.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// "512 B", "1.5 KiB", "64.0 MiB".
std::string format_bytes(std::uint64_t bytes);

/// "0.8 ms", "12 ms", "1.25 s", "2 min 5 s".
std::string format_duration(std::chrono::microseconds duration);

/// Local time, "2026-11-21 10:52:00"; "?" for a year that no calendar has.
std::string format_moment(std::int64_t unix_seconds);

}  // namespace casemate
