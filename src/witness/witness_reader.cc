#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/terminal.h"
#include "witness/witness.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestLine = 16u << 10;
constexpr std::size_t kMostLeftovers = 16;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::int32_t session(std::string_view text) {
  std::int32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// "12:7079": pid and the name's bytes.
std::optional<Leftover> leftover(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string name;
  for (std::size_t at = colon + 1; at + 1 < text.size() && name.size() < 15; at += 2) {
    const int high = hex_digit(text[at]);
    const int low = hex_digit(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    name += static_cast<char>(high * 16 + low);
  }
  return Leftover{static_cast<std::int32_t>(number(text.substr(0, colon))), printable_name(name)};
}

}  // namespace

Resources resources_of(const WitnessReport& report) {
  Resources used;
  used.wall = std::chrono::microseconds(report.wall_us);
  used.user_cpu = std::chrono::microseconds(report.user_cpu_us);
  used.system_cpu = std::chrono::microseconds(report.system_cpu_us);
  used.peak_memory_bytes = report.peak_memory_bytes;
  used.peak_pids = report.peak_pids;
  used.major_faults = report.major_faults;
  used.minor_faults = report.minor_faults;
  return used;
}

std::optional<ReportedPiece> reported_piece(std::string_view line) {
  if (!line.starts_with("+ ") && !line.starts_with(". ")) return std::nullopt;
  return ReportedPiece{line.substr(2), line.front() == '.'};
}

void WitnessReport::hear(std::string_view line) {
  while (!line.empty()) {
    const auto space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    line = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    const auto equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
    if (key == "started") started = session(value);
    if (key == "exit") exit_status = static_cast<int>(number(value) & 0xff);
    if (key == "signal") signal = static_cast<int>(number(value) & 0x7f);
    if (key == "exec") exec_errno = static_cast<int>(number(value) & 0xfff);
    if (key == "wall") wall_us = std::min(number(value), kMostTold);
    if (key == "user") user_cpu_us = std::min(number(value), kMostTold);
    if (key == "system") system_cpu_us = std::min(number(value), kMostTold);
    if (key == "memory") peak_memory_bytes = number(value);
    if (key == "pids") peak_pids = number(value);
    if (key == "major") major_faults = std::min(number(value), kMostTold);
    if (key == "minor") minor_faults = std::min(number(value), kMostTold);
    if (key == "oom") oom_kills = number(value);
    if (key == "refused") pids_refused = number(value);
    if (key == "full") disk_full = true;
    if (key == "end") ended = true;
    if (key != "left" || leftovers.size() >= kMostLeftovers) continue;
    if (auto process = leftover(value)) leftovers.push_back(std::move(*process));
  }
}

std::string environment_text(const std::map<std::string, std::string>& environment) {
  std::string text;
  for (const auto& [name, value] : environment) text.append(name).append("=").append(value).push_back('\0');
  text.push_back('\0');
  return text;
}

WitnessReader::WitnessReader(const std::string& token, std::function<void(std::string_view)> take,
                             std::function<void(std::string_view)> said)
    : mark_('\0' + ("casemate-" + token + " ")), take_(std::move(take)), said_(std::move(said)) {}

void WitnessReader::feed(std::string_view bytes) {
  std::string joined;
  if (!held_.empty()) {
    joined = std::move(held_);
    held_.clear();
    joined.append(bytes);
    bytes = joined;
  }
  while (!bytes.empty()) {
    if (in_line_) {
      const auto end = bytes.find('\n');
      if (end == std::string_view::npos) {
        if (bytes.size() <= kLongestLine) held_ = bytes;  // longer ones are not the witness's
        return;
      }
      std::string_view line = bytes.substr(0, end);
      if (line.ends_with('\r')) line.remove_suffix(1);  // through a terminal
      in_line_ = false;
      said_(line);
      bytes.remove_prefix(end + 1);
      continue;
    }
    const auto zero = bytes.find('\0');
    if (zero > 0) take_(bytes.substr(0, zero));
    if (zero == std::string_view::npos) return;
    bytes.remove_prefix(zero);
    if (bytes.starts_with(mark_)) {
      bytes.remove_prefix(mark_.size());
      in_line_ = true;
    } else if (mark_.starts_with(bytes)) {
      held_ = bytes;
      return;
    } else {
      take_(bytes.substr(0, 1));
      bytes.remove_prefix(1);
    }
  }
}

void WitnessReader::end() {
  if (!in_line_ && !held_.empty()) take_(held_);
  held_.clear();
}

}  // namespace casemate
