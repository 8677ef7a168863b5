#include "apps/agent/hindrance.h"

#include <algorithm>
#include <string>
#include <utility>

#include "apps/agent/backend.h"

namespace casemate {
namespace {

constexpr auto kFirst = std::chrono::seconds(2);
constexpr auto kLongest = std::chrono::minutes(5);
constexpr auto kSayAgain = std::chrono::minutes(10);

// "Failed to connect to tests port 80 after 3 ms" is what was said after 2 ms.
std::string without_digits(std::string words) {
  std::erase_if(words, [](char c) { return c >= '0' && c <= '9'; });
  return words;
}

}  // namespace

LogLevel Hindrance::met(std::string what, Clock::time_point now, double jitter) {
  if (!since_) since_ = now;
  if (now >= next_) next_ = now + backoff(++times_, jitter, kFirst, kLongest);
  what_ = std::move(what);
  std::string words = without_digits(what_);
  if (words == said_ && now - said_at_ < kSayAgain) return LogLevel::debug;
  said_ = std::move(words);
  said_at_ = now;
  return LogLevel::error;
}

void Hindrance::hurry(Clock::time_point now) { next_ = std::min(next_, now + kFirst); }

std::optional<Hindrance::Clock::duration> Hindrance::over(Clock::time_point now) {
  if (!since_) return std::nullopt;
  const auto lasted = now - *since_;
  since_.reset();
  next_ = {};
  times_ = 0;
  what_.clear();
  return lasted;
}

}  // namespace casemate
