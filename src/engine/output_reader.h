// output_reader: what a job or a command writes, read as fast as its listener's reader takes it, up to its limit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "casemate/engine.h"
#include "casemate/outcome.h"
#include "engine/capture.h"
#include "engine/reactor.h"
#include "sys/fd.h"

namespace casemate {

/// Reads the ends of two pipes, or a terminal's, into a Capture and a listener. The descriptors are their owner's and non-blocking; one at
/// whose end is nobody any more, or whose stream the listener does not want, is closed here.
class OutputReader {
 public:
  struct Ends {
    UniqueFd& out;
    UniqueFd& err;
  };
  /// `give_up` is called when there was more than `limit` bytes (over_limit()), of which no more were passed on, and when reading can't go
  /// on for want of means.
  OutputReader(Reactor& reactor, Ends ends, JobListener& listener, Capture& capture, std::optional<std::uint64_t> limit,
               std::function<void()> give_up);
  ~OutputReader() { stop(); }
  OutputReader(const OutputReader&) = delete;
  OutputReader& operator=(const OutputReader&) = delete;

  /// Begins to read when there is something.
  Result<void> watch();
  /// Reads no more.
  void stop();
  /// Takes what the pipes hold now: whoever has their other ends may go on writing for ever.
  void drain();
  /// The same of a terminal in place of `out`, to its end, of which a kernel has 64 KiB at most.
  void drain_terminal();
  [[nodiscard]] bool over_limit() const { return over_limit_; }

 private:
  void ready(Stream stream, UniqueFd& fd);
  void pause();
  bool take(Stream stream, UniqueFd& fd);
  void drain(Stream stream, UniqueFd& fd);

  Reactor& reactor_;
  Ends ends_;
  JobListener& listener_;
  Capture& capture_;
  std::optional<std::uint64_t> limit_;
  std::function<void()> give_up_;
  std::optional<Reactor::TimerId> pause_;  // while the listener's reader is slow
  bool over_limit_ = false;
};

/// Bytes that a pipe holds.
[[nodiscard]] std::size_t bytes_in(const UniqueFd& pipe);

}  // namespace casemate
