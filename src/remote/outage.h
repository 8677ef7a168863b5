// outage: that an engine does not answer, as all threads that wait for it know it together.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include <grpcpp/support/status.h>

#include "remote/engine.h"

namespace casemate {

/// What `status` says of a connection that could not be made, in words of ours: "nobody listens there: Connection refused"; nullopt: of
/// none.
[[nodiscard]] std::optional<std::string> no_connection(const grpc::Status& status);

/// What is tried again now, by whom and since when. Safe for several threads.
class Outages {
 public:
  using Clock = std::chrono::steady_clock;
  /// `who` has met `status` and nothing else since then, and gives up after `patience`.
  void failed(const void* who, Clock::time_point since, std::chrono::milliseconds patience, const grpc::Status& status);
  /// It has not, any more.
  void over(const void* who);
  /// The one that has lasted longest; nullopt: there is none.
  [[nodiscard]] std::optional<EngineOutage> longest() const;

 private:
  struct Trouble {
    Clock::time_point since;
    std::chrono::milliseconds patience;
    std::string reason;
  };
  mutable std::mutex mutex_;
  std::map<const void*, Trouble> troubles_;
};

}  // namespace casemate
