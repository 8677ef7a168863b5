#include "base/units.h"

#include <charconv>
#include <cmath>
#include <ctime>

#include <fmt/format.h>

namespace casemate {
namespace {

// Reads a non-negative decimal number ("12", "1.5") off the front of text; false if there is none.
bool take_number(std::string_view& text, double& value) {
  std::size_t end = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
  if (end == 0 || end > 32) return false;
  auto [stop, problem] = std::from_chars(text.data(), text.data() + end, value);
  if (problem != std::errc{} || stop != text.data() + end) return false;
  text.remove_prefix(end);
  return true;
}

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  auto wrong = [&] {
    return fail(ErrorCode::invalid_input, fmt::format("'{}' is not a size; write for example 64M, 1.5G or 1048576", text));
  };
  std::string_view rest = text;
  double value = 0;
  if (!take_number(rest, value)) return wrong();
  double unit = 1;
  if (!rest.empty()) {
    constexpr std::string_view kUnits = "bkmgt";
    const auto power = kUnits.find(lower(rest[0]));
    if (power == std::string_view::npos) return wrong();
    unit = std::pow(1024.0, static_cast<double>(power));
    rest.remove_prefix(1);
    if (power > 0 && !rest.empty()) {
      const bool binary = rest.size() == 2 && lower(rest[0]) == 'i' && lower(rest[1]) == 'b';
      const bool plain = rest.size() == 1 && lower(rest[0]) == 'b';
      if (!binary && !plain) return wrong();
      rest = {};
    }
    if (!rest.empty()) return wrong();
  }
  const double bytes = std::floor(value * unit);
  if (!(bytes < 9.2e18)) return wrong();
  return static_cast<std::uint64_t>(bytes);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  auto wrong = [&] {
    return fail(ErrorCode::invalid_input, fmt::format("'{}' is not a duration; write for example 2s, 500ms, 1m30s or 2.5", text));
  };
  std::string_view rest = text;
  double total_ms = 0;
  bool first = true;
  while (first || !rest.empty()) {
    double value = 0;
    if (!take_number(rest, value)) return wrong();
    double unit_ms = 1000;
    if (rest.starts_with("ms")) {
      unit_ms = 1;
      rest.remove_prefix(2);
    } else if (!rest.empty()) {
      switch (rest[0]) {
        case 's':
          unit_ms = 1000;
          break;
        case 'm':
          unit_ms = 60'000;
          break;
        case 'h':
          unit_ms = 3'600'000;
          break;
        case 'd':
          unit_ms = 86'400'000;
          break;
        default:
          return wrong();
      }
      rest.remove_prefix(1);
    } else if (!first) {
      return wrong();
    }
    total_ms += value * unit_ms;
    first = false;
  }
  constexpr double kTenYears = 10.0 * 365 * 86'400'000;
  if (!(total_ms <= kTenYears)) return wrong();
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::llround(total_ms)));
}

std::string format_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr const char* kNames[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kNames)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

std::string format_duration(std::chrono::microseconds duration) {
  const auto us = duration.count();
  if (us < 10'000) return fmt::format("{:.1f} ms", static_cast<double>(us) / 1000);
  if (us < 1'000'000) return fmt::format("{} ms", us / 1000);
  if (us < 60'000'000) return fmt::format("{:.2f} s", static_cast<double>(us) / 1e6);
  const auto seconds = us / 1'000'000;
  return fmt::format("{} min {} s", seconds / 60, seconds % 60);
}

std::string format_moment(std::int64_t unix_seconds) {
  const std::time_t seconds = unix_seconds;
  std::tm parts{};
  char text[64];
  if (!::localtime_r(&seconds, &parts) || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0) return "?";
  return text;
}

}  // namespace casemate
