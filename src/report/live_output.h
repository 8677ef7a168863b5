// live_output: a job's output, passed on as it arrives, without ever making the engine wait for a slow reader.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace casemate {

/// Writes to one descriptor of ours (borrowed). What the reader does not take at once is kept, up to 64 MiB, and goes with the next add()
/// or finish(); more is counted and dropped. To a terminal bytes go made safe (base/terminal.h), a carriage return as a newline, so that
/// progress bars stay readable; anything else gets them raw.
class LiveOutput {
 public:
  explicit LiveOutput(int fd);
  /// Never blocks on a pipe or terminal.
  void add(std::string_view bytes);
  /// The same for text of our own, which may drive a terminal.
  void add_own(std::string_view text);
  /// Writes all that is left, waiting for the reader: at the end, or before, where nothing may be dropped.
  void finish();
  /// The last byte passed on was no newline, and nobody has ended the line since.
  [[nodiscard]] bool in_line() const { return in_line_; }
  void line_ended() { in_line_ = false; }
  [[nodiscard]] bool terminal() const { return terminal_; }
  /// The reader went away, or the descriptor was never any good: nothing more will be written.
  [[nodiscard]] bool broken() const { return broken_; }
  /// Why output was lost: errno of a write that failed for another reason than a reader that went away or was never there (ENOSPC, EIO); 0
  /// if none was.
  [[nodiscard]] int problem() const { return problem_; }
  /// Bytes that the reader has not taken yet, after another try; for JobListener::backlog().
  [[nodiscard]] std::size_t backlog();

 private:
  void add_safe(std::string_view bytes);
  void keep(std::string_view bytes);
  void write_ready();
  void give_up(int errno_value);

  int fd_;
  bool terminal_;
  bool always_ready_;  // a regular file
  bool broken_ = false;
  int problem_ = 0;
  bool in_line_ = false;
  bool after_return_ = false;
  std::string waiting_;  // made safe; from taken_ on the reader has not had it
  std::size_t taken_ = 0;
  std::string unfinished_;  // the beginning of a UTF-8 sequence
  std::uint64_t dropped_ = 0;
};

}  // namespace casemate
