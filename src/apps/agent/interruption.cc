#include "apps/agent/interruption.h"

#include <csignal>

#include <sys/timerfd.h>

#include "sys/signals.h"

namespace casemate {
namespace {

constexpr auto kGrace = std::chrono::seconds(10);  // for pytest to write its report

}  // namespace

Result<std::unique_ptr<Interruption>> Interruption::create(Engine& engine) {
  const sigset_t mask = ending_signals();
  if (::sigprocmask(SIG_BLOCK, &mask, nullptr) < 0) return fail_errno("block signals");
  TRY_ASSIGN(UniqueFd signals, open_signals(mask));
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return fail_errno("make a timer");
  std::unique_ptr<Interruption> made(new Interruption(engine, std::move(signals), std::move(timer)));
  TRY(engine.watch(made->signals_.get(), [raw = made.get()] { raw->heard(); }));
  TRY(engine.watch(made->timer_.get(), [raw = made.get()] { raw->time_is_up(); }));
  return made;
}

Interruption::~Interruption() {
  engine_.unwatch(signals_.get());
  engine_.unwatch(timer_.get());
}

Result<void> Interruption::treat(Manner manner, std::chrono::milliseconds timeout) {
  manner_ = manner;
  asked_ = false;
  timed_out_ = false;
  set_timer(timeout);
  return {};
}

bool Interruption::stopped() {
  take_signals();
  return stopped_;
}

void Interruption::take_signals() {
  while (take_signal(signals_.get()) != 0) {
    hurried_ = stopped_;
    stopped_ = true;
  }
}

void Interruption::heard() {
  take_signals();
  if (!stopped_) return;
  if (hurried_) {
    engine_.cancel_all();
    return;
  }
  interrupt();
}

void Interruption::time_is_up() {
  std::uint64_t times = 0;
  if (::read(timer_.get(), &times, sizeof times) != sizeof times) return;  // somebody has set it anew
  if (asked_) {
    engine_.cancel_all();
    return;
  }
  timed_out_ = true;
  interrupt();
}

void Interruption::interrupt() {
  if (manner_ == Manner::end) {
    engine_.cancel_all();
    return;
  }
  if (asked_) return;  // a signal and the timeout: the first has begun the 10 s
  asked_ = true;
  engine_.signal_all(SIGINT);
  set_timer(kGrace);
}

void Interruption::set_timer(std::chrono::milliseconds after) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(after);
  const itimerspec when{.it_interval = {},
                        .it_value = {.tv_sec = seconds.count(), .tv_nsec = static_cast<long>((after - seconds).count() * 1'000'000)}};
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

}  // namespace casemate
