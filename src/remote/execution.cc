#include "remote/execution.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/units.h"
#include "remote/action_result.h"
#include "remote/log_stream.h"
#include "remote/protocol/operations.grpc.pb.h"
#include "remote/protocol/remote_execution.grpc.pb.h"
#include "remote/stream_queue.h"

namespace casemate {
namespace {

using google::longrunning::Operation;
using Clock = std::chrono::system_clock;
using OperationStream = IncomingStream<Operation>;

constexpr std::string_view kDoing = "execute an action";
constexpr std::size_t kMostName = 4096;
// Of an execution that ended with a transient status. INTERNAL may be anything, with buildbox a missing input: the caller can look.
constexpr unsigned kMostRepeats = 4, kMostDoubtful = 1;
constexpr unsigned kMostForgotten = 5;  // a scheduler that is started anew so often may die of this very action
constexpr std::chrono::seconds kCancelling{5}, kAnswering{20};
constexpr std::chrono::milliseconds kLongestSilence{std::chrono::minutes(10)};
// While an operation has no name it can't be cancelled: a stop waits for the name, looking every slice, but no longer than this.
constexpr std::chrono::milliseconds kSlice{50}, kNaming{1000};

// How following an operation ended: done, or by a status; overdue: ExecutionOrder::deadline.
struct Followed {
  std::optional<Operation> done;
  grpc::Status status;
  bool overdue = false;
};

class ActionExecution {
 public:
  ActionExecution(const RemoteCalls& calls, const RemoteOffer& offer, const ExecutionOrder& order, ExecutionListener& listener,
                  const std::stop_token& stop)
      : calls_(calls),
        offer_(offer),
        order_(order),
        listener_(listener),
        stop_(stop),
        patience_(calls.policy().patience, stop, calls.outages()),
        stub_(protocol::Execution::NewStub(calls.engine())),
        out_(calls, queue_, Stream::out, stop),
        err_(calls, queue_, Stream::err, stop) {
    if (!order.deadline) return;
    deadline_ = Clock::now() + *order.deadline;
    patience_.end_by(Patience::Clock::now() + *order.deadline);
  }

  Result<Execution> run() {
    for (;;) {
      current_ = name_.empty() ? open_execute() : open_wait();
      Followed end = follow();
      current_.reset();
      probe_.reset();
      // An answer that is there is told, whoever has asked to stop meanwhile.
      if (end.done) {
        TRY_ASSIGN(auto execution, ended(*end.done, end.status));
        if (execution) return std::move(*execution);
      }
      if (stop_.stop_requested()) {
        cancel_operation();
        return calls_.failure(grpc::Status::CANCELLED, kDoing, stop_);
      }
      if (end.overdue) {
        const grpc::Status cancelled = cancel_operation();
        const std::string in_time = fmt::format("{} within {}", kDoing, format_duration(*order_.deadline));
        if (name_.empty() && patience_.trouble()) return calls_.failure(*patience_.trouble(), in_time, stop_);
        if (cancelled.error_code() == grpc::StatusCode::UNAVAILABLE) return calls_.failure(cancelled, in_time, stop_);
        return calls_.broken(
            fmt::format("an action was not done within {} (--remote-timeout) and was cancelled", format_duration(*order_.deadline)),
            ErrorCode::system);
      }
      if (end.status.ok()) end.status = {grpc::StatusCode::UNAVAILABLE, "it ended the stream before the operation"};
      const bool waited = !name_.empty() && !end.done;
      bool answered = false;
      if (waited &&
          (end.status.error_code() == grpc::StatusCode::NOT_FOUND || end.status.error_code() == grpc::StatusCode::UNIMPLEMENTED)) {
        answered = true;
        end.status = {grpc::StatusCode::UNAVAILABLE, fmt::format("it knows the operation no more ({})", words_of(end.status))};
        begin_anew();
        if (++forgotten_ == kMostForgotten)
          return calls_.broken(fmt::format("an action was begun {} times, and each time the engine knew no more of it", kMostForgotten),
                               ErrorCode::system);
      }
      if (!(answered ? patience_.answered(end.status) : patience_.again(end.status))) {
        cancel_operation();
        return calls_.failure(end.status, kDoing, stop_);
      }
    }
  }

 private:
  std::unique_ptr<OperationStream> open_execute() {
    protocol::ExecuteRequest request;
    request.set_instance_name(calls_.instance());
    request.set_skip_cache_lookup(order_.skip_cache);
    *request.mutable_action_digest() = message_of(order_.action);
    request.set_inline_stdout(true);
    request.set_inline_stderr(true);
    const auto [first, last] = offer_.least_priority;
    const int priority = first == 0 && last == 0 ? order_.priority : std::clamp(order_.priority, first, last);
    if (priority != 0) request.mutable_execution_policy()->set_priority(priority);
    return std::make_unique<OperationStream>(
        queue_, calls_, std::stop_token(),
        [&](grpc::ClientContext& context, grpc::CompletionQueue& on) { return stub_->PrepareAsyncExecute(&context, request, &on); });
  }

  std::unique_ptr<OperationStream> open_wait() {
    protocol::WaitExecutionRequest request;
    request.set_name(name_);
    return std::make_unique<OperationStream>(queue_, calls_, stop_, [&](grpc::ClientContext& context, grpc::CompletionQueue& on) {
      return stub_->PrepareAsyncWaitExecution(&context, request, &on);
    });
  }

  // The action is the same, so is its answer; but what was heard of it while it ran is not to be heard twice.
  void begin_anew() {
    name_.clear();
    out_.give_up();
    err_.give_up();
  }

  // Whether the engine answers a small question.
  bool answers() {
    const auto stub = protocol::Capabilities::NewStub(calls_.engine());
    protocol::GetCapabilitiesRequest request;
    request.set_instance_name(calls_.instance());
    grpc::ClientContext context;
    calls_.prepare(context);
    context.set_deadline(Clock::now() + std::min<std::chrono::milliseconds>(calls_.policy().call, kAnswering));
    const CancelOnStop cancelled(stop_, context);
    protocol::ServerCapabilities answer;
    return stub->GetCapabilities(&context, request, &answer).ok();
  }

  // Until the operation is done or its stream is over. A stream that is silent may be that of an action that runs for an hour, or of an
  // engine that is gone: a second one, WaitExecution, tells which, if it tells anything. Engines say of an operation that goes on what
  // they like, and hold a thread for each who waits, so that is asked ever less often, and what an engine answers otherwise counts too.
  Followed follow() {
    auto silence = calls_.policy().silence;
    Clock::time_point heard = Clock::now();
    std::optional<Clock::time_point> stopping;
    bool may_probe = true;
    for (;;) {
      if (probe_ && probe_->has_message()) current_ = std::move(probe_);
      if (current_->has_message()) {
        heard = Clock::now();
        probe_.reset();
        note(current_->message());
        if (current_->message().done()) return {current_->message(), grpc::Status::OK};
        if (!name_.empty()) current_->cancel_on(stop_);
        current_->next();
      }
      out_.pass_on(listener_);
      err_.pass_on(listener_);
      if (current_->over()) return {std::nullopt, current_->status()};
      if (probe_ && probe_->over()) {
        const grpc::Status status = probe_->status();
        probe_.reset();
        if (status.error_code() != grpc::StatusCode::UNIMPLEMENTED) return {std::nullopt, status};
        may_probe = false;  // gRPC's own pings (channel.cc) have to do
      }
      if (name_.empty() && stop_.stop_requested()) {
        if (!stopping) stopping = Clock::now() + kNaming;
        if (Clock::now() >= *stopping) return {std::nullopt, grpc::Status::CANCELLED};
      }
      const Clock::time_point silent = heard + silence;
      Clock::time_point until = may_probe ? silent : Clock::time_point::max();
      if (deadline_) until = std::min(until, *deadline_);
      if (name_.empty()) until = std::min(until, Clock::now() + kSlice);
      const bool event = until == Clock::time_point::max() ? (queue_.wait(), true) : queue_.wait_until(until);
      if (deadline_ && Clock::now() >= *deadline_ && !current_->has_message()) return {std::nullopt, grpc::Status::OK, true};
      if (event || Clock::now() < silent || !may_probe) continue;
      if (name_.empty()) return {std::nullopt, OperationStream::silent(silence)};
      if (probe_) {
        if (!answers()) return {std::nullopt, OperationStream::silent(silence)};
        probe_.reset();
        silence = std::min(silence * 2, std::max(kLongestSilence, calls_.policy().silence));
      } else {
        probe_ = open_wait();
      }
      heard = Clock::now();
    }
  }

  void note(const Operation& operation) {
    patience_.progressed();
    if (!operation.name().empty() && operation.name().size() <= kMostName && operation.name() != name_) {
      name_ = operation.name();
      listener_.named(name_);
    }
    if (!queued_) {  // that there is an operation; not every engine tells stages
      queued_ = true;
      listener_.queued();
    }
    protocol::ExecuteOperationMetadata metadata;
    if (!operation.has_metadata() || !operation.metadata().UnpackTo(&metadata)) return;
    const auto stage = metadata.stage();
    if (!executing_ && stage == protocol::ExecutionStage::EXECUTING) {
      executing_ = true;
      listener_.executing();
    }
    out_.begin(metadata.stdout_stream_name());
    err_.begin(metadata.stderr_stream_name());
  }

  // What a done operation says. nullopt: `status` is worth another execution.
  Result<std::optional<Execution>> ended(const Operation& operation, grpc::Status& status) {
    protocol::ExecuteResponse response;
    if (operation.has_error()) {
      status = status_of(operation.error());
      if (status.ok()) return calls_.broken("an operation is done with an error that is none");
    } else if (!operation.has_response() || !operation.response().UnpackTo(&response)) {
      return calls_.broken("an operation is done without a result");
    } else {
      status = status_of(response.status());
    }
    Execution execution;
    execution.attempts = patience_.tries();
    execution.cached = response.cached_result();
    if (response.has_result()) {
      auto view = view_of(response.result());
      if (!view) return calls_.broken(view.error().what, view.error().code);
      execution.result = std::move(*view);
    } else if (status.ok()) {
      return calls_.broken("an operation is done without a result");
    }
    if (status.ok()) return execution;
    execution.status = static_cast<int>(status.error_code());
    execution.message = words_of(status);
    switch (status.error_code()) {
      case grpc::StatusCode::DEADLINE_EXCEEDED:  // the action's timeout
      case grpc::StatusCode::CANCELLED:          // somebody has cancelled it there
        return execution;
      default:
        if (!is_transient(status)) return calls_.failure(status, kDoing, stop_);
    }
    const bool doubtful = status.error_code() == grpc::StatusCode::INTERNAL || status.error_code() == grpc::StatusCode::UNKNOWN;
    if (++repeats_ > (doubtful ? kMostDoubtful : kMostRepeats)) return execution;
    begin_anew();
    return std::nullopt;
  }

  // Nobody waits for it any more. Best effort: an engine that can't be reached (its answer) ends it by its own timeout.
  grpc::Status cancel_operation() { return name_.empty() ? grpc::Status() : casemate::cancel_operation(calls_, name_, {}); }

  const RemoteCalls& calls_;
  const RemoteOffer& offer_;
  const ExecutionOrder& order_;
  ExecutionListener& listener_;
  std::stop_token stop_;
  Patience patience_;
  std::optional<Clock::time_point> deadline_;
  std::unique_ptr<protocol::Execution::Stub> stub_;
  StreamQueue queue_;
  LogStream out_, err_;
  std::unique_ptr<OperationStream> current_, probe_;
  std::string name_;
  unsigned repeats_ = 0, forgotten_ = 0;
  bool queued_ = false, executing_ = false;
};

}  // namespace

Result<Execution> execute_action(const RemoteCalls& calls, const RemoteOffer& offer, const ExecutionOrder& order,
                                 ExecutionListener& listener, const std::stop_token& stop) {
  return ActionExecution(calls, offer, order, listener, stop).run();
}

grpc::Status cancel_operation(const RemoteCalls& calls, const std::string& name, const std::stop_token& stop) {
  google::longrunning::CancelOperationRequest request;
  request.set_name(name);
  const auto stub = google::longrunning::Operations::NewStub(calls.engine());
  grpc::Status status;
  for (int tries = 0; tries < 2 && (tries == 0 || status.error_code() == grpc::StatusCode::UNAVAILABLE); ++tries) {
    grpc::ClientContext context;
    calls.prepare(context);
    context.set_deadline(Clock::now() + std::min<std::chrono::milliseconds>(calls.policy().call, kCancelling));
    const CancelOnStop cancelled(stop, context);
    google::protobuf::Empty answer;
    status = stub->CancelOperation(&context, request, &answer);
  }
  return status;
}

}  // namespace casemate
