#include "remote/outage.h"

#include <algorithm>
#include <string_view>

#include "remote/calls.h"

namespace casemate {
namespace {

constexpr std::size_t kMostReason = 100;  // a line is to be read at a glance

// Of gRPC's "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection
// refused" the last words say it all.
std::string reason_of(const grpc::Status& status) {
  std::string words = words_of(status);
  if (words.find("failed to connect") != std::string::npos) words.erase(0, words.rfind(": ") + 2);
  if (words.size() > kMostReason) words = words.substr(0, kMostReason) + "...";
  return words;
}

}  // namespace

void Outages::failed(const void* who, Clock::time_point since, std::chrono::milliseconds patience, const grpc::Status& status) {
  std::string reason = reason_of(status);
  const std::lock_guard lock(mutex_);
  troubles_.insert_or_assign(who, Trouble{since, patience, std::move(reason)});
}

void Outages::over(const void* who) {
  const std::lock_guard lock(mutex_);
  troubles_.erase(who);
}

std::optional<EngineOutage> Outages::longest() const {
  const std::lock_guard lock(mutex_);
  const auto first = std::min_element(troubles_.begin(), troubles_.end(),
                                      [](const auto& one, const auto& other) { return one.second.since < other.second.since; });
  if (first == troubles_.end()) return std::nullopt;
  const auto& trouble = first->second;
  return EngineOutage{.reason = trouble.reason,
                      .tried = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - trouble.since),
                      .patience = trouble.patience};
}

}  // namespace casemate
