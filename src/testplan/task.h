// task: a function that waits in its middle for what a callback brings (a coroutine of C++20), so that a long sequence of commands reads as
// one. Nothing runs but what somebody resumes, in the thread that does.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace casemate {

/// What `co_return`s a T. Runs when it is awaited, or by start(); whoever owns it ends it, wherever it stands.
template <class T>
class [[nodiscard]] PlanTask {
 public:
  struct promise_type;  // NOLINT(readability-identifier-naming): the language's name
  using Handle = std::coroutine_handle<promise_type>;

  /// At its end a task goes on with who awaits it.
  struct Final {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(Handle ended) const noexcept {
      const std::coroutine_handle<> next = ended.promise().next;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  struct promise_type {
    std::optional<T> value;
    std::coroutine_handle<> next;
    PlanTask get_return_object() { return PlanTask(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void return_value(T given) { value = std::move(given); }
    void unhandled_exception() { std::terminate(); }  // no memory: as anywhere else
  };

  PlanTask(PlanTask&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  PlanTask& operator=(PlanTask&&) = delete;
  ~PlanTask() {
    if (handle_) handle_.destroy();
  }
  void start() { handle_.resume(); }
  [[nodiscard]] bool done() const { return handle_.done(); }

  [[nodiscard]] bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> next) {
    handle_.promise().next = next;
    return handle_;
  }
  T await_resume() { return std::move(*handle_.promise().value); }

 private:
  explicit PlanTask(Handle handle) : handle_(handle) {}
  Handle handle_;
};

/// Something that one task waits for. Who brings it calls arrive(), from wherever; the task goes on when somebody calls proceed(): so it
/// may destroy what called back.
class Arrival {
 public:
  void arrive() { arrived_ = true; }
  /// True if the task went on.
  bool proceed() {
    if (!arrived_ || !waiting_) return false;
    arrived_ = false;
    std::exchange(waiting_, nullptr).resume();
    return true;
  }
  [[nodiscard]] bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiting) { waiting_ = waiting; }
  void await_resume() const {}

 private:
  bool arrived_ = false;
  std::coroutine_handle<> waiting_;
};

}  // namespace casemate
