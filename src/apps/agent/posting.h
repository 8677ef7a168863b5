// posting: results on their way from the outbox to the backend: when each is tried, and what its answer means.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "apps/agent/courier.h"
#include "apps/agent/log.h"
#include "apps/agent/metrics.h"
#include "apps/agent/outbox.h"
#include "apps/agent/settings.h"

namespace casemate {

/// Says what is to be done next and hears what came of it; sends nothing itself. An Error of its members is one of the outbox: what became
/// of a result can't be kept.
class Posting {
 public:
  /// All four must outlive it.
  Posting(const AgentSettings& settings, Outbox& outbox, Log& log, Metrics& metrics)
      : settings_(settings), outbox_(outbox), log_(log), metrics_(metrics) {}
  /// An entry that is `finished`, or `posting` (found at a start: it is asked after).
  void add(OutboxEntry entry);
  /// What is due, if anything. A post is in the outbox as begun when this returns.
  Result<std::optional<Errand>> next(std::int64_t now_ms);
  /// `end` is of an errand of next(), not of kind take.
  Result<void> ended(const ErrandEnd& end, std::int64_t now_ms);
  /// When next() will have something to do; nullopt: never, as it is now.
  [[nodiscard]] std::optional<std::int64_t> due_ms() const;
  /// From now on each result is tried once more, at once, and none after the first that finds no backend. The rest stays in the outbox.
  void hurry();
  [[nodiscard]] std::size_t waiting() const { return items_.size(); }
  [[nodiscard]] std::uint64_t posted() const { return posted_; }
  [[nodiscard]] std::uint64_t given_up() const { return given_up_; }
  /// The last thing that went wrong; "" if nothing did.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  struct Item {
    OutboxEntry entry;
    std::int64_t due_ms = 0;
    bool under_way = false;
    bool ambiguous = false;
    std::uint32_t asked = 0;   // without an answer
    std::uint32_t denied = 0;  // how often the backend said that it has no result
    bool tried = false;        // since hurry()
  };
  Result<void> posted_to(Item& item, const PostOutcome& outcome, std::int64_t now_ms);
  Result<void> asked_after(Item& item, const std::expected<std::optional<bool>, BackendFailure>& answer, std::int64_t now_ms);
  Result<void> settle(Item& item, OutboxEntry::State state, std::string note);
  Result<void> postpone(Item& item, std::int64_t now_ms);
  void not_now(std::string what, const Item& item);
  std::int64_t wait_ms(std::uint32_t failures);
  [[nodiscard]] std::optional<std::int64_t> due_of(const Item& item) const;

  const AgentSettings& settings_;
  Outbox& outbox_;
  Log& log_;
  Metrics& metrics_;
  std::map<std::int64_t, Item> items_;  // by number
  std::minstd_rand random_{std::random_device{}()};
  bool hurrying_ = false;
  bool unreachable_ = false;  // since hurry()
  std::uint64_t posted_ = 0;
  std::uint64_t given_up_ = 0;
  std::string trouble_;
};

}  // namespace casemate
