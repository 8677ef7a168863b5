#include "remote/sending_watch.h"

#include <algorithm>
#include <utility>

namespace casemate {
namespace {

using Phase = SendingProgress::Phase;

constexpr auto kPause = std::chrono::milliseconds(100);

}  // namespace

SendingWatch::Stage SendingWatch::reading() {
  const std::lock_guard lock(mutex_);
  enter();
  return Stage(this);
}

SendingWatch::Stage SendingWatch::sending(std::uint64_t bytes, std::size_t files) {
  const std::lock_guard lock(mutex_);
  enter();
  if (now_.phase != Phase::sending) {
    now_ = {.phase = Phase::sending, .to = std::move(now_.to)};
    told_at_ = Clock::now();
  }
  now_.bytes += bytes;
  now_.files += files;
  return Stage(this);
}

void SendingWatch::read(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (now_.phase != Phase::reading) return;  // others send: that is what takes time
  now_.bytes_done += bytes;
  ++now_.files_done;
  tell_now_and_then();
}

void SendingWatch::sent(std::uint64_t bytes, std::size_t files) {
  const std::lock_guard lock(mutex_);
  now_.bytes_done = std::min(now_.bytes_done + bytes, now_.bytes);
  now_.files_done = std::min(now_.files_done + files, now_.files);
  tell_now_and_then();
}

void SendingWatch::enter() {
  if (++stages_ > 1) return;
  now_ = {.to = std::move(now_.to)};
  told_at_ = Clock::now();
  told_ = false;
}

void SendingWatch::leave() {
  const std::lock_guard lock(mutex_);
  if (--stages_ > 0) return;
  if (now_.phase == Phase::reading) now_.bytes = now_.files = 0;
  now_.phase = Phase::done;
  if (std::exchange(told_, false)) tell_(now_);
}

void SendingWatch::tell_now_and_then() {
  const auto now = Clock::now();
  if (!tell_ || now - told_at_ < kPause) return;
  told_at_ = now;
  told_ = true;
  tell_(now_);
}

}  // namespace casemate
