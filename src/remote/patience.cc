#include "remote/patience.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

#include "remote/protocol/status.pb.h"

namespace casemate {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kFirst{100}, kLongest{10'000};
constexpr unsigned kMostDoubtful = 5;  // INTERNAL and the like: a stream that was reset, or a bug that stays

// What the engine asks for; nullopt: nothing, or nonsense.
std::optional<milliseconds> asked_delay(const grpc::Status& status) {
  google::rpc::Status details;
  if (status.error_details().empty() || !details.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& detail : details.details()) {
    google::rpc::RetryInfo info;
    if (!detail.UnpackTo(&info)) continue;
    const std::int64_t seconds = info.retry_delay().seconds();
    if (seconds < 0 || seconds > 86'400 || info.retry_delay().nanos() < 0) continue;
    return milliseconds(seconds * 1000 + info.retry_delay().nanos() / 1'000'000);
  }
  return std::nullopt;
}

bool is_doubtful(grpc::StatusCode code) {
  return code == grpc::StatusCode::INTERNAL || code == grpc::StatusCode::UNKNOWN || code == grpc::StatusCode::CANCELLED;
}

milliseconds drawn(milliseconds most) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return milliseconds(std::uniform_int_distribution<std::int64_t>(0, most.count())(random));
}

}  // namespace

bool is_transient(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::RESOURCE_EXHAUSTED:  // gRPC says so too of a message that will never be shorter
      return status.error_message().find("message larger than max") == std::string::npos;
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return true;
    default:
      return is_doubtful(status.error_code());
  }
}

void Patience::progressed() {
  if (trouble_since_) outages_.over(this);
  trouble_since_.reset();
  trouble_.reset();
}

bool Patience::answered(const grpc::Status& status) {
  progressed();
  if (stop_.stop_requested()) return false;
  if (std::exchange(answered_, true)) return again(status, true);
  ++tries_;
  return true;
}

bool Patience::again(const grpc::Status& status, bool answered) {
  if (stop_.stop_requested() || !is_transient(status)) return false;
  if (is_doubtful(status.error_code()) && ++doubtful_ >= kMostDoubtful) return false;
  const Clock::time_point now = Clock::now();
  if (!trouble_since_) {
    trouble_since_ = now;
    // A stream that is cut after each message must not be opened as fast as it is cut.
    if (tries_ == 1 || now - last_failure_ > kLongest) step_ = kFirst;
    doubtful_ = is_doubtful(status.error_code()) ? 1 : 0;
  }
  last_failure_ = now;
  if (!answered) trouble_ = status;
  milliseconds wait = drawn(step_);
  step_ = std::min(step_ * 2, kLongest);
  const milliseconds left = patience_ - std::chrono::duration_cast<milliseconds>(now - *trouble_since_);
  if (left <= milliseconds(0) || (end_ && now >= *end_)) return false;
  if (const auto asked = asked_delay(status)) {
    if (*asked >= left) return false;
    wait = *asked + drawn(*asked / 10);
  }
  wait = std::min(wait, left);  // a long draw does not shorten what was promised: the last try is at its end
  auto given_up = patience_;
  if (end_) {
    wait = std::min(wait, std::chrono::duration_cast<milliseconds>(*end_ - now));
    given_up = std::min(given_up, std::chrono::duration_cast<milliseconds>(*end_ - *trouble_since_));
  }
  if (!answered) outages_.failed(this, *trouble_since_, given_up, status);
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any asleep;
  asleep.wait_for(lock, stop_, wait, [] { return false; });
  if (stop_.stop_requested()) return false;
  ++tries_;
  return true;
}

std::chrono::system_clock::time_point Patience::deadline(milliseconds call) const {
  if (trouble_since_) {
    const auto left = std::chrono::duration_cast<milliseconds>(*trouble_since_ + patience_ - Clock::now());
    call = std::min(call, std::max(left, milliseconds(100)));
  }
  return std::chrono::system_clock::now() + call;
}

}  // namespace casemate
