#include "remote/outage.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "remote/calls.h"

namespace casemate {
namespace {

constexpr std::size_t kMostReason = 100;  // a line is to be read at a glance

std::string reason_of(const grpc::Status& status) {
  std::string words = no_connection(status).value_or(words_of(status));
  if (words.size() > kMostReason) words = words.substr(0, kMostReason) + "...";
  return words;
}

}  // namespace

// Of gRPC's "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection
// refused" the last words say it all.
std::optional<std::string> no_connection(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return std::nullopt;
  const std::string said = words_of(status);
  const bool unknown_name = said.find("DNS resolution failed") != std::string::npos;
  if (!unknown_name && said.find("failed to connect to all addresses") == std::string::npos) return std::nullopt;
  const std::string last = said.substr(said.rfind(": ") + 2);
  if (unknown_name) return "its name can't be resolved: " + last;
  const bool nobody = last == std::strerror(ECONNREFUSED) || last == std::strerror(ENOENT);  // the latter of a socket's path
  return fmt::format("{}: {}", nobody ? "nobody listens there" : "no connection can be made", last);
}

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
