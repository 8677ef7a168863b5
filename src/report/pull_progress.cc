#include "report/pull_progress.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/units.h"
#include "report/columns.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Phase = PullProgress::Phase;

constexpr std::size_t kBar = 24;
constexpr std::size_t kLeastBar = 8;

std::string_view word(Phase phase) {
  switch (phase) {
    case Phase::resolving:
      return "resolving";
    case Phase::waiting:
      return "waiting for another casemate";
    case Phase::fetching:
      return "fetching";
    case Phase::unpacking:
      return "unpacking";
    case Phase::done:
      break;
  }
  return "ready";
}

// How much of the phase is done, from 0 to 1; negative: nobody knows.
double share(const PullProgress& progress) {
  double done = -1;
  if (progress.phase == Phase::fetching && progress.bytes > 0) {
    done = static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes);
  } else if (progress.phase != Phase::resolving && progress.phase != Phase::waiting && progress.layers > 0) {
    done = static_cast<double>(progress.layers_done) / static_cast<double>(progress.layers);
  }
  return std::min(done, 1.0);
}

std::string bar(double done, std::size_t width, bool colors) {
  const auto full = static_cast<std::size_t>(done * static_cast<double>(width));
  return fmt::format("[{}{}{}{}]", colors ? "\x1b[32m" : "", std::string(full, '='), colors ? "\x1b[0m" : "",
                     std::string(width - full, ' '));
}

// "3 of 7 layers", "12.0 MiB of 45.1 MiB, 3 of 7 layers".
std::string counts(const PullProgress& progress) {
  std::string text;
  if (progress.phase == Phase::fetching && progress.bytes > 0)
    text = fmt::format("{} of {}", format_bytes(std::min(progress.bytes_done, progress.bytes)), format_bytes(progress.bytes));
  if (progress.phase != Phase::resolving && progress.phase != Phase::waiting && progress.layers > 0)
    text += fmt::format("{}{} of {} {}", text.empty() ? "" : ", ", std::min(progress.layers_done, progress.layers), progress.layers,
                        progress.layers == 1 ? "layer" : "layers");
  return text;
}

}  // namespace

std::string progress_line(const PullProgress& progress, std::size_t columns, bool colors) {
  const std::string what(word(progress.phase));
  const std::string numbers = counts(progress);
  const std::string name = printable_name(progress.image);
  const double done = share(progress);
  std::size_t room = columns > what.size() ? columns - what.size() : 0;
  std::string line = what;
  if (!numbers.empty() && room > numbers.size() + 2) {
    room -= numbers.size() + 2;
    // The bar takes what the name leaves, within bounds.
    const std::size_t left = room > columns_of(name) + 2 ? room - columns_of(name) - 2 : 0;
    const std::size_t width = std::clamp(left > 4 ? left - 4 : 0, kLeastBar, kBar);
    if (done >= 0 && room > width + 4) {
      line += "  " + bar(done, width, colors);
      room -= width + 4;
    }
    line += "  " + numbers;
  }
  const std::string shown = room > 5 ? end_within(name, room - 2) : "";
  return shown.empty() ? line : line + "  " + shown;
}

PullDisplay PullDisplay::on_stderr(bool silent, Color color) {
  return {STDERR_FILENO, silent ? Style::silent : style_for(STDERR_FILENO), colored(color, STDERR_FILENO)};
}

PullDisplay::Style PullDisplay::style_for(int fd) { return can_move_cursor(fd) ? Style::live : Style::lines; }

void PullDisplay::tell(const PullProgress& progress) {
  if (style_ == Style::silent) return;
  const std::lock_guard guard(mutex_);
  if (style_ == Style::lines) {
    add_lines(progress);
    return;
  }
  if (progress.phase == Phase::done) {
    if (line_shown_) (void)write_all(fd_, "\r\x1b[K");
    line_shown_ = false;
    return;
  }
  const std::size_t columns = screen_of(fd_).columns;
  // One column stays free: in the last one some terminals wrap.
  (void)write_all(fd_, "\r\x1b[K" + progress_line(progress, (columns > 20 ? columns : 80) - 1, colors_));
  line_shown_ = true;
}

void PullDisplay::clear() {
  const std::lock_guard guard(mutex_);
  if (line_shown_) (void)write_all(fd_, "\r\x1b[K");
  line_shown_ = false;
}

TellPull PullDisplay::teller() {
  if (style_ == Style::silent) return {};
  return [this](const PullProgress& progress) { tell(progress); };
}

// Nothing for an image that is there: resolving takes no time worth a line, and what is done the caller tells.
void PullDisplay::add_lines(const PullProgress& progress) {
  const bool began = progress.image != image_ || progress.phase != phase_;
  const bool layer = progress.layers_done > layers_done_ || began;
  image_ = progress.image;
  phase_ = progress.phase;
  layers_done_ = progress.layers_done;
  if (progress.phase == Phase::resolving || progress.phase == Phase::done) return;
  const std::string name = printable_name(progress.image);
  if (began) {
    const std::string size = progress.phase == Phase::fetching && progress.bytes > 0 ? ", " + format_bytes(progress.bytes) : "";
    const std::string layers = progress.layers > 0 && progress.phase != Phase::waiting
                                   ? fmt::format(" {} {}", progress.layers, progress.layers == 1 ? "layer" : "layers")
                                   : "";
    (void)write_all(fd_, fmt::format("{}: {}{}{}\n", name, word(progress.phase), layers, size));
  } else if (layer && progress.phase == Phase::fetching) {
    (void)write_all(fd_, fmt::format("{}: fetched {}\n", name, counts(progress)));
  }
}

}  // namespace casemate
