#include "command/limit_values.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "base/units.h"

namespace casemate {
namespace {

constexpr std::uint64_t kLeastMemory = 6u << 20;  // docker's: less can't start a program

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

template <class T>
std::optional<T> unless_zero(T value) {
  return value == T{} ? std::nullopt : std::optional<T>(value);
}

}  // namespace

Result<void> read_memory_limit(const std::string& value, Limits& limits) {
  TRY_ASSIGN(const std::uint64_t bytes, parse_bytes(value));
  if (bytes != 0 && bytes < kLeastMemory)
    return wrong(fmt::format("'{}' is too little to start a program; give at least 6M, or 0 for no limit", value));
  limits.memory_bytes = unless_zero(bytes);
  return {};
}

Result<void> read_cpus_limit(const std::string& value, Limits& limits) {
  double cpus = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), cpus, std::chars_format::fixed);
  const bool number = problem == std::errc{} && end == value.data() + value.size() && cpus >= 0 && cpus <= 4096;
  if (!number || (cpus > 0 && cpus < 0.01))
    return wrong(fmt::format("'{}' is not a number of CPUs; write for example 1.5, or 0 for no limit", value));
  limits.cpus = unless_zero(cpus);
  return {};
}

Result<void> read_disk_limit(const std::string& value, Limits& limits) {
  TRY_ASSIGN(const std::uint64_t bytes, parse_bytes(value));
  limits.disk_bytes = unless_zero(bytes);
  if (bytes == 0) limits.disk_inodes.reset();
  return {};
}

}  // namespace casemate
