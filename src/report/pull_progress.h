// pull_progress: how far an image is on its way into the store, for a person: one live line on a terminal, plain lines anywhere else.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>

#include "image/pull.h"
#include "report/table.h"

namespace casemate {

/// What a live line says, at most `columns` wide: what goes on, a bar, bytes, layers, the image. Narrow screens get less of it. Printable,
/// but for the colours that were asked for.
[[nodiscard]] std::string progress_line(const PullProgress& progress, std::size_t columns, bool colors);

/// Shows the progress of pulls on a descriptor (borrowed). Several threads may tell at once.
class PullDisplay {
 public:
  enum class Style {
    silent,
    lines,  ///< a line when a phase begins that takes time, and one for each layer that was fetched
    live,   ///< one line that is written over, and gone at the end
  };
  PullDisplay(int fd, Style style, bool colors) : fd_(fd), style_(style), colors_(colors) {}
  /// Takes the live line off.
  ~PullDisplay() { clear(); }
  PullDisplay(const PullDisplay&) = delete;
  PullDisplay& operator=(const PullDisplay&) = delete;

  /// On stderr: silent, or live for a terminal that can (TERM is not "dumb"), else lines.
  [[nodiscard]] static PullDisplay on_stderr(bool silent, Color color = Color::automatic);
  /// live for a terminal that can, else lines.
  [[nodiscard]] static Style style_for(int fd);

  /// Shows how far it is.
  void tell(const PullProgress& progress);
  /// Takes the live line off, before something else is written there.
  void clear();
  /// For pull_image() and its like; good as long as this lives.
  [[nodiscard]] TellPull teller();

 private:
  void add_lines(const PullProgress& progress);

  int fd_;
  Style style_;
  bool colors_;
  std::mutex mutex_;
  bool line_shown_ = false;
  std::string image_;  // of what add_lines() said last
  PullProgress::Phase phase_ = PullProgress::Phase::resolving;
  std::size_t layers_done_ = 0;
};

}  // namespace casemate
