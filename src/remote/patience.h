// patience: whether a call that failed is worth another try, and when.
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>

#include <grpcpp/support/status.h>

#include "remote/outage.h"

namespace casemate {

/// Whether a call that ended so may end otherwise if it is made again: UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED, a deadline of ours, and
/// what gRPC makes of a reset stream (INTERNAL, UNKNOWN, CANCELLED).
[[nodiscard]] bool is_transient(const grpc::Status& status);

/// The tries of one thing, for `patience` from its first failure on, and once at its end. Waits between them: full jitter, 0.1 s doubling
/// to 10 s, or what the engine says (google.rpc.RetryInfo). While it is in trouble `outages` knows of it.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;
  Patience(std::chrono::milliseconds patience, std::stop_token stop, Outages& outages)
      : patience_(patience), stop_(std::move(stop)), outages_(outages) {}
  ~Patience() { progressed(); }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

  /// Nothing is tried again later than this, but once at that time.
  void end_by(Clock::time_point end) { end_ = end; }
  /// Something has come of it: what fails from now on is new trouble.
  void progressed();
  /// What the last try came to, if nothing has come of it since.
  [[nodiscard]] const std::optional<grpc::Status>& trouble() const { return trouble_; }
  /// After `status`: waits and says true, or says at once that it is no use: not transient, time is up, or somebody asked to stop.
  bool again(const grpc::Status& status) { return again(status, false); }
  /// After `status` of an engine that is there and has answered: as again(), but the first time without a wait, and `outages` hears
  /// nothing.
  bool answered(const grpc::Status& status);
  /// When a try that begins now and may last `call` has to be over.
  [[nodiscard]] std::chrono::system_clock::time_point deadline(std::chrono::milliseconds call) const;
  /// Tries so far.
  [[nodiscard]] unsigned tries() const { return tries_; }

 private:
  bool again(const grpc::Status& status, bool answered);

  std::chrono::milliseconds patience_;
  std::stop_token stop_;
  Outages& outages_;
  std::optional<Clock::time_point> end_;
  std::optional<Clock::time_point> trouble_since_;
  std::optional<grpc::Status> trouble_;
  Clock::time_point last_failure_;
  std::chrono::milliseconds step_{0};
  bool answered_ = false;
  unsigned doubtful_ = 0;
  unsigned tries_ = 1;
};

}  // namespace casemate
