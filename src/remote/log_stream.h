// log_stream: what an action writes, while it writes it, from engines that stream it.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "casemate/outcome.h"
#include "remote/calls.h"
#include "remote/engine.h"
#include "remote/protocol/byte_stream.grpc.pb.h"
#include "remote/stream_queue.h"

namespace casemate {

/// One output of an action (ExecuteOperationMetadata.stdout_stream_name): hands on what comes, goes on where it broke a few times, and
/// otherwise gives up silently: the result has all of it.
class LogStream {
 public:
  LogStream(const RemoteCalls& calls, StreamQueue& queue, Stream which, std::stop_token stop)
      : calls_(calls), queue_(queue), which_(which), stop_(std::move(stop)) {}

  /// The stream of this name, if it is not that of before; "": not offered.
  void begin(const std::string& name);
  /// Hands on what has come.
  void pass_on(ExecutionListener& listener);
  /// No more of it: the action is run anew, and what was told can't be told again.
  void give_up();

 private:
  void open();

  const RemoteCalls& calls_;
  StreamQueue& queue_;
  Stream which_;
  std::stop_token stop_;
  std::string name_;
  std::uint64_t offset_ = 0;
  unsigned breaks_ = 0;
  bool given_up_ = false;
  std::unique_ptr<google::bytestream::ByteStream::Stub> stub_;
  std::unique_ptr<IncomingStream<google::bytestream::ReadResponse>> stream_;
};

}  // namespace casemate
