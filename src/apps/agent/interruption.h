// interruption: what may end a worker's work before its time: a signal, or the timeout of the tests' run.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "casemate/engine.h"
#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Hears SIGINT, SIGTERM and SIGHUP (signalfd) from its creation on, and a timer, in the loop of one engine, which must outlive it. Not
/// Engine::cancel_on_signals(): pytest writes its report at SIGINT and at no other signal.
class Interruption {
 public:
  /// What a signal or the end of the time does to what runs: tests get SIGINT and 10 s to write their report, all else is ended at once.
  enum class Manner { end, ask };

  /// Blocks those signals in the calling thread. Until treat() it is Manner::end.
  static Result<std::unique_ptr<Interruption>> create(Engine& engine);
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  /// From here on; `timeout` > 0 starts the timer, whose end is as that of a signal.
  Result<void> treat(Manner manner, std::chrono::milliseconds timeout = {});
  /// Looks for signals that came while the engine did not run.
  [[nodiscard]] bool stopped();
  /// The timer of the last treat() has ended.
  [[nodiscard]] bool timed_out() const { return timed_out_; }
  /// A second signal came: nobody waits for anything any more.
  [[nodiscard]] bool hurried() const { return hurried_; }

 private:
  Interruption(Engine& engine, UniqueFd signals, UniqueFd timer)
      : engine_(engine), signals_(std::move(signals)), timer_(std::move(timer)) {}
  void heard();
  void take_signals();
  void time_is_up();
  void interrupt();
  void set_timer(std::chrono::milliseconds after);

  Engine& engine_;
  UniqueFd signals_;
  UniqueFd timer_;
  Manner manner_ = Manner::end;
  bool stopped_ = false;
  bool timed_out_ = false;
  bool hurried_ = false;
  bool asked_ = false;  // the timer now is that of the 10 s
};

}  // namespace casemate
