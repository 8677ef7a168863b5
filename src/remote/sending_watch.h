// sending_watch: counts what all of an executor's jobs read and send, and tells of it now and then.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "action/sending_progress.h"

namespace casemate {

/// Safe for several threads. What takes less than a tenth of a second is not told at all, and more no oftener; after what was told there is
/// a `done`.
class SendingWatch {
 public:
  /// `tell`, which may be empty, is called in the threads of who reads and sends, one at a time.
  SendingWatch(std::string to, TellSending tell) : tell_(std::move(tell)) { now_.to = std::move(to); }

  /// Lasts as long as somebody reads, or sends.
  class Stage {
   public:
    ~Stage() {
      if (watch_) watch_->leave();
    }
    Stage(Stage&& other) noexcept : watch_(std::exchange(other.watch_, nullptr)) {}
    Stage& operator=(Stage&&) = delete;

   private:
    friend SendingWatch;
    explicit Stage(SendingWatch* watch) : watch_(watch) {}
    SendingWatch* watch_;
  };
  [[nodiscard]] Stage reading();
  [[nodiscard]] Stage sending(std::uint64_t bytes, std::size_t files);

  /// A file was read.
  void read(std::uint64_t bytes);
  /// So much more went out.
  void sent(std::uint64_t bytes, std::size_t files);

 private:
  using Clock = std::chrono::steady_clock;
  void enter();
  void leave();
  void tell_now_and_then();

  TellSending tell_;
  std::mutex mutex_;  // of the rest
  SendingProgress now_;
  std::size_t stages_ = 0;
  Clock::time_point told_at_;  // or when it began
  bool told_ = false;
};

}  // namespace casemate
