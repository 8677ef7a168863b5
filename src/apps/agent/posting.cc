#include "apps/agent/posting.h"

#include <algorithm>

#include <fmt/format.h>

namespace casemate {
namespace {

using State = OutboxEntry::State;

constexpr std::int64_t kBeforeAsking = 1000;  // ms: a request that is still under way over there has come to its end
constexpr std::int64_t kBeforeAskingAgain = 5000;
constexpr std::uint32_t kDenials = 2;        // before a result that may be there is posted again
constexpr std::int64_t kFarthest = 600'000;  // ms: who waits longer has a clock that was set back

}  // namespace

void Posting::add(OutboxEntry entry) {
  Item item{.entry = std::move(entry)};
  item.ambiguous = item.entry.state == State::posting;
  item.due_ms = item.ambiguous ? 0 : item.entry.next_post_ms;
  const std::int64_t number = item.entry.number;
  items_.insert_or_assign(number, std::move(item));
}

std::optional<std::int64_t> Posting::due_of(const Item& item) const {
  if (item.under_way) return std::nullopt;
  if (!hurrying_) return item.due_ms;
  return item.tried || unreachable_ ? std::nullopt : std::optional<std::int64_t>(0);
}

std::optional<std::int64_t> Posting::due_ms() const {
  std::optional<std::int64_t> first;
  for (const auto& [number, item] : items_) {
    const auto due = due_of(item);
    if (due && (!first || *due < *first)) first = due;
  }
  return first;
}

Result<std::optional<Errand>> Posting::next(std::int64_t now_ms) {
  Item* first = nullptr;
  for (auto& [number, item] : items_) {
    const auto due = due_of(item);
    if (!due || (*due > now_ms && *due < now_ms + kFarthest)) continue;
    if (!first || item.due_ms < first->due_ms) first = &item;
  }
  if (!first) return std::nullopt;
  OutboxEntry& entry = first->entry;
  Errand errand{.kind = first->ambiguous ? Errand::Kind::ask : Errand::Kind::post, .number = entry.number, .task = entry.task};
  if (!first->ambiguous) {
    if (!entry.grade) entry.grade = grade_of_error("the result was damaged on the agent's disk before it could be posted");
    errand.body = result_body(*entry.grade, entry.task, settings_.wire.value_or(entry.task.form), settings_.strict_skips);
    entry.state = State::posting;
    TRY(outbox_.change(entry));
  }
  first->under_way = true;
  first->tried = hurrying_;
  return errand;
}

Result<void> Posting::ended(const ErrandEnd& end, std::int64_t now_ms) {
  const auto found = items_.find(end.number);
  if (found == items_.end()) return {};
  found->second.under_way = false;
  return end.kind == Errand::Kind::ask ? asked_after(found->second, end.asked, now_ms) : posted_to(found->second, end.posted, now_ms);
}

Result<void> Posting::posted_to(Item& item, const PostOutcome& outcome, std::int64_t now_ms) {
  using Kind = PostOutcome::Kind;
  const std::string key = item.entry.task.key();
  switch (outcome.kind) {
    case Kind::accepted:
      log_.write(LogLevel::info, "the result is posted", key);
      return settle(item, State::posted, "");
    case Kind::refused:
      metrics_.backend_failed("post_refused");
      log_.write(LogLevel::error, fmt::format("the result is given up: {}", outcome.what), key);
      return settle(item, State::given_up, outcome.what);
    case Kind::later:
      metrics_.backend_failed("post_later");
      not_now(outcome.what, item);
      return postpone(item, now_ms);
    case Kind::ambiguous:
      metrics_.backend_failed("post_ambiguous");
      trouble_ = outcome.what;
      log_.write(LogLevel::warning, fmt::format("nobody knows whether the result was taken, so it is asked after: {}", outcome.what), key);
      item.ambiguous = true;
      item.asked = 0;
      item.denied = 0;
      item.due_ms = now_ms + kBeforeAsking;
      return {};
  }
  return {};
}

Result<void> Posting::asked_after(Item& item, const std::expected<std::optional<bool>, BackendFailure>& answer, std::int64_t now_ms) {
  const std::string key = item.entry.task.key();
  if (!answer) {
    not_now(answer.error().what, item);
    item.due_ms = now_ms + wait_ms(++item.asked);
    return {};
  }
  if (!*answer) {
    const std::string note = "it may have been taken, and the backend can't say; it is not posted again, for a second one could delete it";
    log_.write(LogLevel::error, fmt::format("the result is given up: {}", note), key);
    return settle(item, State::given_up, note);
  }
  if (**answer) {
    log_.write(LogLevel::info, "the result is posted: the backend has it", key);
    return settle(item, State::posted, "");
  }
  if (++item.denied < kDenials) {
    item.due_ms = now_ms + kBeforeAskingAgain;
    return {};
  }
  log_.write(LogLevel::warning, "the backend has no result: it is posted again", key);
  item.ambiguous = false;
  TRY(postpone(item, now_ms));
  item.due_ms = now_ms;
  return {};
}

// The end of an item: it must not be used after this.
Result<void> Posting::settle(Item& item, State state, std::string note) {
  OutboxEntry entry = std::move(item.entry);
  items_.erase(entry.number);
  ++(state == State::posted ? posted_ : given_up_);
  state == State::posted ? metrics_.result_posted() : metrics_.result_given_up();
  entry.state = state;
  entry.note = std::move(note);
  return outbox_.change(entry);
}

Result<void> Posting::postpone(Item& item, std::int64_t now_ms) {
  item.entry.state = State::finished;
  ++item.entry.posts;
  item.due_ms = now_ms + wait_ms(item.entry.posts);
  item.entry.next_post_ms = item.due_ms;
  return outbox_.change(item.entry);
}

void Posting::not_now(std::string what, const Item& item) {
  unreachable_ = hurrying_;
  const bool again = what == trouble_;
  trouble_ = std::move(what);
  log_.write(again ? LogLevel::debug : LogLevel::error, fmt::format("the result can't be posted yet: {}", trouble_), item.entry.task.key());
}

std::int64_t Posting::wait_ms(std::uint32_t failures) {
  return backoff(std::max(failures, 1u), std::uniform_real_distribution<double>(0, 1)(random_)).count();
}

void Posting::hurry() { hurrying_ = true; }

}  // namespace casemate
