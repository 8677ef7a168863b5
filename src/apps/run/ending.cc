#include "apps/run/ending.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "image/reference.h"

namespace casemate {
namespace {

constexpr std::string_view kStep = "execve ";
constexpr std::string_view kFilesComeAlong =
    "your own files come along with --inputs or -v; 'casemate explain -- COMMAND' prints what of the host is shown";
constexpr std::string_view kOnWorker = "what the worker does not have comes along with --inputs, -v or --image";
constexpr std::string_view kOnImage = "what the image does not have comes along with --inputs, --layer or -v";

// The image that somebody meant who wrote "casemate run docker://a/b ls", or docker's "run python:3.11 ls"; "" for none.
std::string meant_image(std::string_view command) {
  if (command.find(':') == std::string_view::npos || command.starts_with('/') || command.starts_with('.')) return "";
  if (parse_image_reference(command)) return std::string(command);
  const std::string name = fmt::format("docker://{}", command);
  return command.find("://") == std::string_view::npos && parse_image_reference(name) ? name : "";
}

std::string not_executable(std::string_view command, int errno_value) {
  const char* hint = "";
  if (errno_value == EACCES) hint = " (a directory, a file without the x bit, or one on a noexec mount)";
  if (errno_value == ENOEXEC) hint = " (neither a program of this machine nor a script that begins with #!)";
  return fmt::format("{}: can't be executed: {}{}", command, std::strerror(errno_value), hint);
}

}  // namespace

std::string ending_line(const Outcome& outcome, bool on_image, bool remote) {
  if (outcome.kind != Outcome::Kind::setup_failed || !outcome.step.starts_with(kStep)) return words(outcome);
  const std::string_view command = std::string_view(outcome.step).substr(kStep.size());
  if (outcome.code != ENOENT && outcome.code != ENOTDIR) return not_executable(command, outcome.code);
  if (const std::string image = meant_image(command); !image.empty())
    return fmt::format("{}: command not found in the cell; did you mean --image {}?", command, image);
  const std::string_view hint = on_image ? kOnImage : remote ? kOnWorker : kFilesComeAlong;
  const std::string_view where = remote ? "on the worker" : "in the cell";
  if (command.find('/') == std::string_view::npos) return fmt::format("{}: command not found {}; {}", command, where, hint);
  return fmt::format("{}: not found {}, or the loader or #! program that it needs is not; {}", command, where, hint);
}

}  // namespace casemate
