// outbox: every task that was taken, and what became of it, on disk (SQLite): nothing is lost and nothing is posted twice.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/agent/grade.h"
#include "apps/agent/task.h"
#include "casemate/result.h"

namespace casemate {

/// One task's record.
struct OutboxEntry {
  enum class State {
    taken,     ///< or running: no result yet
    finished,  ///< has a result that is to be posted
    posting,   ///< a POST was begun whose end is not known: ambiguous if found at a start
    posted,
    given_up,  ///< `note` says why
  };
  std::int64_t number = 0;  ///< given by the outbox; names tasks/<number>
  State state = State::taken;
  Task task;
  std::optional<Grade> grade;     ///< kept until it is posted
  std::uint32_t attempts = 0;     ///< to run it, so far: one that brings down its worker again and again is given up
  std::uint32_t posts = 0;        ///< that failed
  std::int64_t taken_ms = 0;      ///< Unix time
  std::int64_t next_post_ms = 0;  ///< not before
  std::string note;
};

/// One file; one process at a time (a lock; a second one is `refused`). Every change is on disk when the call returns.
class Outbox {
 public:
  /// DIRECTORY/outbox.db; the directory is made. Damaged: set aside as history's is (`note()` says so), and numbers go on after those in
  /// DIRECTORY/tasks. Of entries that are posted or given up the newest `keep_known` are remembered for take(); older ones are forgotten at
  /// open.
  static Result<Outbox> open(const std::string& directory, std::size_t keep_known = 100'000);
  Outbox(Outbox&&) noexcept;
  Outbox& operator=(Outbox&&) noexcept;
  ~Outbox();
  /// nullopt: this key is known already, in flight or done.
  Result<std::optional<OutboxEntry>> take(const Task& task, std::int64_t now_ms);
  /// Writes all of an entry but its number and task. not_found: there is none of this number.
  Result<void> change(const OutboxEntry& entry);
  /// All that are neither posted nor given up, oldest first. A grade that can't be read any more is as none; an entry whose task can't be
  /// is given up.
  Result<std::vector<OutboxEntry>> open_entries() const;
  /// Newest first.
  Result<std::vector<OutboxEntry>> newest(std::size_t count) const;
  /// What open() has to tell a person, on one line; "" if nothing.
  [[nodiscard]] const std::string& note() const;

 private:
  struct Parts;
  explicit Outbox(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
