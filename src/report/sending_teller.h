// sending_teller: how far inputs are on their way to an engine, in lines for a person.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "action/sending_progress.h"

namespace casemate {

/// "sends 120.0 MiB of 300.0 MiB (812 of 3177 files) to grpc://...". Printable.
[[nodiscard]] std::string sending_line(const SendingProgress& progress);

/// Says when there is something to say.
class SendingTeller {
 public:
  enum class Style {
    live,    ///< each line is written over by the next; "" takes it off
    lines,   ///< one when there is much to send, one each few seconds, and one at the end if there were any
    events,  ///< of much, two a second, and "" at the end: for sinks, which have rules of their own
  };
  SendingTeller(Style style, std::function<void(std::string_view line)> show) : style_(style), show_(std::move(show)) {}
  /// On stderr: live for a terminal that can, else lines.
  [[nodiscard]] static SendingTeller on_stderr();
  void tell(const SendingProgress& progress);

 private:
  Style style_;
  std::function<void(std::string_view)> show_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point shown_at_;
};

}  // namespace casemate
