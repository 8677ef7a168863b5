#include "apps/run/ending.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

namespace casemate {
namespace {

constexpr std::string_view kStep = "execve ";
constexpr std::string_view kFilesComeAlong =
    "your own files come along with --inputs or -v; 'casemate explain -- COMMAND' prints what of the host is shown";

std::string not_executable(std::string_view command, int errno_value) {
  const char* hint = "";
  if (errno_value == EACCES) hint = " (a directory, a file without the x bit, or one on a noexec mount)";
  if (errno_value == ENOEXEC) hint = " (neither a program of this machine nor a script that begins with #!)";
  return fmt::format("{}: can't be executed: {}{}", command, std::strerror(errno_value), hint);
}

}  // namespace

std::string ending_line(const Outcome& outcome) {
  if (outcome.kind != Outcome::Kind::setup_failed || !outcome.step.starts_with(kStep)) return words(outcome);
  const std::string_view command = std::string_view(outcome.step).substr(kStep.size());
  if (outcome.code != ENOENT && outcome.code != ENOTDIR) return not_executable(command, outcome.code);
  if (command.find('/') == std::string_view::npos) return fmt::format("{}: command not found in the cell; {}", command, kFilesComeAlong);
  return fmt::format("{}: not found in the cell, or the loader or #! program that it needs is not; {}", command, kFilesComeAlong);
}

}  // namespace casemate
