// log: what the agent tells, line by line: "TIME LEVEL message", or a JSON object a line.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "apps/agent/settings.h"
#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// To stdout or a file. Messages may quote anybody: they are made printable and are one line each. Threads may share one. A line that can't
/// be written (a full disk, a reader that went away) is lost, and costs nothing else.
class Log {
 public:
  /// `output` is a file, made (0600) or appended to; "": stdout. Fails with a line that names it.
  static Result<Log> open(const std::string& output, LogLevel least, bool json);
  /// `task` is the key of the task that it is about: a member "task" in JSON, and before the message in text.
  void write(LogLevel level, std::string_view message, std::string_view task = "");
  /// Of level info, but written whatever the level.
  void tell(std::string_view message);
  /// Opens the file again under its name, after somebody moved it away; goes on with the old one if that fails.
  void reopen();

 private:
  Log(std::string output, UniqueFd file, LogLevel least, bool json)
      : output_(std::move(output)), file_(std::move(file)), least_(least), json_(json) {}
  void put(LogLevel level, std::string_view message, std::string_view task);
  std::string output_;
  UniqueFd file_;  // of stdout it is a copy
  LogLevel least_;
  bool json_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();
};

/// "debug", ..., "critical".
[[nodiscard]] std::string_view word(LogLevel level);
/// An URL without user and password, for people.
[[nodiscard]] std::string shown_url(std::string_view url);

}  // namespace casemate
