#include "apps/agent/log.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostMessage = 4096;

// ISO 8601 with the zone, so that a line means the same wherever it is read.
std::string now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char moment[32], zone[8];
  std::strftime(moment, sizeof moment, "%Y-%m-%dT%H:%M:%S", &parts);
  std::strftime(zone, sizeof zone, "%z", &parts);
  return fmt::format("{}.{:03}{}", moment, milliseconds % 1000, zone);
}

std::string upper(std::string_view word) {
  std::string all(word);
  std::ranges::transform(all, all.begin(),
                         [](char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; });
  return all;
}

Result<UniqueFd> open_log(const std::string& path) {
  auto opened = open_file(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0600);
  if (!opened) opened.error().what = fmt::format("--logger-output: {}", opened.error().what);
  return opened;
}

}  // namespace

std::string_view word(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
    case LogLevel::critical:
      return "critical";
  }
  return "";
}

std::string shown_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return std::string(url);
  const std::size_t host = scheme + 3;
  const std::size_t at = url.substr(0, url.find_first_of("/?#", host)).rfind('@');
  return at == std::string_view::npos || at < host ? std::string(url) : fmt::format("{}{}", url.substr(0, host), url.substr(at + 1));
}

Result<Log> Log::open(const std::string& output, LogLevel least, bool json) {
  UniqueFd file;
  if (output.empty()) {
    file.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));  // closed: nobody wants to hear
  } else {
    TRY_ASSIGN(file, open_log(output));
  }
  return Log(output, std::move(file), least, json);
}

void Log::write(LogLevel level, std::string_view message, std::string_view task) {
  if (level >= least_) put(level, message, task);
}

void Log::tell(std::string_view message) { put(LogLevel::info, message, ""); }

void Log::put(LogLevel level, std::string_view message, std::string_view task) {
  std::string line;
  const std::string_view kept = message.substr(0, kMostMessage);
  if (json_) {
    nlohmann::ordered_json object = {{"time", now()}, {"level", word(level)}, {"message", to_utf8(kept)}};
    if (!task.empty()) object["task"] = to_utf8(task);
    line = object.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  } else {
    line = fmt::format("{} {} {}{}{}", now(), upper(word(level)), printable_name(task), task.empty() ? "" : ": ", printable_name(kept));
  }
  line += '\n';
  const std::lock_guard hold(*mutex_);
  [[maybe_unused]] const auto written = write_all(file_.get(), line);
}

void Log::reopen() {
  if (output_.empty()) return;
  auto opened = open_log(output_);
  const std::lock_guard hold(*mutex_);
  if (opened) file_ = std::move(*opened);
}

}  // namespace casemate
