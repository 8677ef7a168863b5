// calls: what every call to an engine has in common: headers, deadlines, tries, and what its failures mean.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "action/blob.h"
#include "casemate/result.h"
#include "remote/endpoint.h"
#include "remote/outage.h"
#include "remote/patience.h"
#include "remote/protocol/remote_execution.pb.h"

namespace casemate {

namespace protocol = build::bazel::remote::execution::v2;

/// Cancels a call when somebody asks to stop. Lives no longer than the context.
class CancelOnStop {
 public:
  CancelOnStop(const std::stop_token& stop, grpc::ClientContext& context) : callback_(stop, Cancel{&context}) {}

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };
  std::stop_callback<Cancel> callback_;
};

/// An engine's channels, and how calls over them are made. Threads share it.
class RemoteCalls {
 public:
  /// Opens the channels; connects nothing. kRemoteUnusable.
  static Result<std::unique_ptr<RemoteCalls>> open(RemoteEndpoint endpoint, RemotePolicy policy);

  [[nodiscard]] const std::shared_ptr<grpc::Channel>& engine() const { return engine_; }
  /// CAS and action cache. Callers with different numbers have different connections, as far as there are any.
  [[nodiscard]] const std::shared_ptr<grpc::Channel>& cache(std::size_t number = 0) const { return caches_[number % caches_.size()]; }
  [[nodiscard]] const std::string& instance() const { return endpoint_.instance; }
  [[nodiscard]] const RemotePolicy& policy() const { return policy_; }
  /// What of it is tried again now.
  [[nodiscard]] Outages& outages() const { return outages_; }
  /// Whether bytes to the cache leave this machine: if not, compressing them is time lost.
  [[nodiscard]] bool leaves_host() const { return leaves_host_; }
  /// "blobs/HASH/SIZE" below the instance, `before` in between (ByteStream's resource names).
  [[nodiscard]] std::string resource(std::string_view before, std::string_view kind, const BlobDigest& blob) const;

  /// Headers of this engine, and who asks.
  void prepare(grpc::ClientContext& context) const;

  /// Makes a call that answers once, again where that may help. `call`: grpc::Status(grpc::ClientContext&).
  template <class Call>
  grpc::Status ask(const std::stop_token& stop, Call call) const {
    return ask(stop, policy_.patience, call);
  }
  template <class Call>
  grpc::Status ask(const std::stop_token& stop, std::chrono::milliseconds most, Call call) const {
    Patience patience(most, stop, outages_);
    for (;;) {
      grpc::ClientContext context;
      prepare(context);
      context.set_deadline(patience.deadline(policy_.call));
      grpc::Status status;
      {
        const CancelOnStop cancelled(stop, context);
        status = call(context);
      }
      if (status.ok() || !patience.again(status)) return status;
    }
  }

  /// A status that is not OK, in one line: "remote engine HOST:PORT: can't DOING: ...". where: kRemoteUnusable, kBlobMissing, or "".
  [[nodiscard]] std::unexpected<Error> failure(const grpc::Status& status, std::string_view doing, const std::stop_token& stop) const;
  /// What an engine must not do: "remote engine HOST:PORT: WHAT".
  [[nodiscard]] std::unexpected<Error> broken(std::string_view what, ErrorCode code = ErrorCode::corrupt) const;

 private:
  static bool is_about_instance(const grpc::Status& status);
  RemoteCalls(RemoteEndpoint endpoint, RemotePolicy policy) : endpoint_(std::move(endpoint)), policy_(policy) {}

  RemoteEndpoint endpoint_;
  RemotePolicy policy_;
  mutable Outages outages_;
  std::string metadata_;
  bool leaves_host_ = true;
  std::shared_ptr<grpc::Channel> engine_;
  std::vector<std::shared_ptr<grpc::Channel>> caches_;
};

/// As the protocol has it.
[[nodiscard]] protocol::Digest message_of(const BlobDigest& digest);
/// nullopt: 64 lower-case hex digits and a size from 0 it is not.
[[nodiscard]] std::optional<BlobDigest> checked_digest(const protocol::Digest& message);
/// A google.rpc.Status of a message as a status of a call.
[[nodiscard]] grpc::Status status_of(const google::rpc::Status& status);
/// FAILED_PRECONDITION with a violation of type MISSING (REAPI, Execution.Execute), or NOT_FOUND.
[[nodiscard]] bool says_missing(const grpc::Status& status);
/// "UNAVAILABLE: connection refused", of bytes that a screen can take.
[[nodiscard]] std::string words_of(const grpc::Status& status);

}  // namespace casemate
