// run_log: the events of each project's last run of tests, as lines, in a file of the state directory (tests/<digest of the
// project>.jsonl): what `casemate show` replays. What a line says is not this room's business.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Of how many projects the last run is kept; the others' are removed, oldest first.
inline constexpr std::size_t kRunLogs = 32;

/// A log being written. Nobody sees it before publish(); destroyed or killed before, it leaves the project's old one as it was (and if
/// killed a file that the next log of anybody removes).
class RunLogWriter {
 public:
  /// `directory` "": state_directory().
  static Result<RunLogWriter> create(const std::string& project, std::string directory = "");
  RunLogWriter(RunLogWriter&&) noexcept;
  RunLogWriter& operator=(RunLogWriter&&) noexcept;
  ~RunLogWriter();
  /// Adds a line, which must have no newline in it. Written in blocks of 256 KiB.
  Result<void> append(std::string_view line);
  /// Bytes appended so far.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// Puts it in the place of the project's last log. The last call.
  Result<void> publish();

 private:
  RunLogWriter(std::string path, std::string part, UniqueFd fd) : path_(std::move(path)), part_(std::move(part)), fd_(std::move(fd)) {}
  Result<void> flush();
  std::string path_;
  std::string part_;  ///< where it lies until then; "" after
  UniqueFd fd_;
  std::string pending_;
  std::size_t bytes_ = 0;
};

/// Hands each line of a project's last log to `take`, until that fails. not_found: there is none. A line longer than `longest` bytes is an
/// error (corrupt).
Result<void> read_run_log(const std::string& project, std::size_t longest, const std::function<Result<void>(std::string_view)>& take,
                          std::string directory = "");

}  // namespace casemate
