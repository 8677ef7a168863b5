#include "report/sending_teller.h"

#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/units.h"
#include "report/columns.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Phase = SendingProgress::Phase;

constexpr std::uint64_t kMuch = 16u << 20;  // bytes
constexpr std::chrono::milliseconds kBetweenLines{5000};
constexpr std::chrono::milliseconds kBetweenEvents{500};

std::string_view files(std::size_t count) { return count == 1 ? "file" : "files"; }

}  // namespace

std::string sending_line(const SendingProgress& progress) {
  switch (progress.phase) {
    case Phase::reading:
      return fmt::format("reads inputs: {} ({} {})", format_bytes(progress.bytes_done), progress.files_done, files(progress.files_done));
    case Phase::sending:
      return fmt::format("sends {} of {} ({} of {} {}) to {}", format_bytes(progress.bytes_done), format_bytes(progress.bytes),
                         progress.files_done, progress.files, files(progress.files), printable_name(progress.to));
    case Phase::done:
      break;
  }
  return progress.bytes == 0 ? "has read the inputs"
                             : fmt::format("has sent {} ({} {}) to {}", format_bytes(progress.bytes), progress.files, files(progress.files),
                                           printable_name(progress.to));
}

SendingTeller SendingTeller::on_stderr() {
  if (!can_move_cursor(STDERR_FILENO))
    return {Style::lines, [](std::string_view line) { (void)write_all(STDERR_FILENO, fmt::format("{}\n", line)); }};
  return {Style::live, [](std::string_view line) {
            // One column stays free: in the last one some terminals wrap.
            const std::size_t columns = screen_of(STDERR_FILENO).columns;
            (void)write_all(STDERR_FILENO, "\r\x1b[K" + begin_within(line, (columns > 20 ? columns : 80) - 1));
          }};
}

void SendingTeller::tell(const SendingProgress& progress) {
  const bool done = progress.phase == Phase::done;
  if (style_ == Style::live) return show_(done ? "" : sending_line(progress));
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t much = progress.phase == Phase::sending ? progress.bytes : progress.bytes_done;
  const bool due = shown_ ? now - shown_at_ >= (style_ == Style::lines ? kBetweenLines : kBetweenEvents) : much >= kMuch;
  if (done ? !shown_ : !due) return;
  shown_ = !done;
  shown_at_ = now;
  show_(done && style_ == Style::events ? "" : sending_line(progress));
}

}  // namespace casemate
