// stream_queue: streams of an engine as one thread sees them: what comes next on any of them, or that nothing came in time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>

#include "remote/calls.h"

namespace casemate {

/// Something that the queue has news for.
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  /// What was begun is done; `ok` as grpc::CompletionQueue::Next has it.
  virtual void proceed(bool ok) = 0;
};

/// One thread's completion queue. Outlives the streams on it.
class StreamQueue {
 public:
  StreamQueue() = default;
  ~StreamQueue();
  StreamQueue(const StreamQueue&) = delete;
  StreamQueue& operator=(const StreamQueue&) = delete;

  [[nodiscard]] grpc::CompletionQueue& queue() { return queue_; }
  /// Hands one event to whom it is for. False: none came until then.
  bool wait_until(std::chrono::system_clock::time_point deadline);
  /// The same without a deadline: for what is known to come.
  void wait();

 private:
  grpc::CompletionQueue queue_;
};

/// A stream of messages from an engine, on `queue`. Cancelled when `stop` asks or it goes out of scope.
template <class Message>
class IncomingStream final : public StreamEvents {
 public:
  using Reader = grpc::ClientAsyncReader<Message>;
  using Start = std::function<std::unique_ptr<Reader>(grpc::ClientContext&, grpc::CompletionQueue&)>;

  IncomingStream(StreamQueue& queue, const RemoteCalls& calls, const std::stop_token& stop, const Start& start) : queue_(queue) {
    calls.prepare(context_);
    reader_ = start(context_, queue.queue());
    cancel_on(stop);
    reader_->StartCall(this);
  }
  ~IncomingStream() override {
    context_.TryCancel();
    while (!over()) {
      if (state_ == State::has_message) next();
      queue_.wait();
    }
  }
  IncomingStream(const IncomingStream&) = delete;
  IncomingStream& operator=(const IncomingStream&) = delete;

  /// A message is there: read message(), then next().
  [[nodiscard]] bool has_message() const { return state_ == State::has_message; }
  [[nodiscard]] bool over() const { return state_ == State::over; }
  [[nodiscard]] const Message& message() const { return message_; }
  [[nodiscard]] const grpc::Status& status() const { return status_; }
  void next() {
    state_ = State::reading;
    reader_->Read(&message_, this);
  }
  /// From now on this stop ends it.
  void cancel_on(const std::stop_token& stop) { cancelled_.emplace(stop, context_); }

  /// For whom this is the only stream of the queue: waits for a message. False: it is over, or nothing came for `silence`, which status()
  /// tells as DEADLINE_EXCEEDED.
  bool read(std::chrono::milliseconds silence) {
    if (has_message()) next();
    const auto deadline = std::chrono::system_clock::now() + silence;
    while (!has_message() && !over()) {
      if (queue_.wait_until(deadline)) continue;
      context_.TryCancel();
      while (!over()) {
        if (has_message()) next();
        queue_.wait();
      }
      if (!status_.ok()) status_ = silent(silence);
    }
    return has_message();
  }

  void proceed(bool ok) override {
    switch (state_) {
      case State::opening:
      case State::reading:
        if (ok && state_ == State::reading) {
          state_ = State::has_message;
        } else if (ok) {
          next();
        } else {
          state_ = State::finishing;
          reader_->Finish(&status_, this);
        }
        break;
      case State::finishing:
        state_ = State::over;
        break;
      case State::has_message:
      case State::over:
        break;
    }
  }

  /// What a stream's end is that brought nothing for too long.
  static grpc::Status silent(std::chrono::milliseconds silence) {
    return {grpc::StatusCode::DEADLINE_EXCEEDED, "nothing came for " + std::to_string(silence.count()) + " ms"};
  }

 private:
  enum class State { opening, reading, has_message, finishing, over };
  StreamQueue& queue_;
  grpc::ClientContext context_;
  std::unique_ptr<Reader> reader_;
  std::optional<CancelOnStop> cancelled_;
  Message message_;
  grpc::Status status_;
  State state_ = State::opening;
};

}  // namespace casemate
