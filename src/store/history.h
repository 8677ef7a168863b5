// history: what was run, how it ended and how long it took, in SQLite ($XDG_STATE_HOME/casemate/casemate.db).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// One job that ended, as history keeps it. Texts are made printable and bounded on their way in.
struct RunRecord {
  std::int64_t id = 0;          ///< given by the database
  std::int64_t started_ms = 0;  ///< Unix time, milliseconds
  std::string front_end;        ///< "run", "script", ...; at most 64 bytes are kept
  std::string name;             ///< what was run, for people: the command or script; at most 512 bytes are kept
  std::string key;              ///< the same work has the same key (for timings); "" if none; at most 256 bytes are kept
  std::string outcome;          ///< word(Outcome::Kind)
  int code = 0;
  std::int64_t wall_us = 0;
  std::int64_t cpu_us = 0;
  std::optional<std::uint64_t> peak_memory_bytes;
  std::string details;  ///< JSON object, front end's own; at most 1 MiB, about 3 KiB through spool_run(): larger ones are dropped
};

/// Which records to find; all conditions must hold.
struct HistoryQuery {
  std::size_t limit = 20;
  std::string front_end;      ///< "": all
  std::string outcome;        ///< "": all
  std::string name_contains;  ///< "": all
};

/// Appends a record without opening the database: one O_APPEND write of a JSON line to casemate.spool beside it (tens of microseconds;
/// SQLite's open and commit would double `casemate run`'s time). The next History::open() takes the lines in. Failing is no reason to fail
/// a job.
Result<void> spool_run(const RunRecord& record);

/// The database; one thread at a time. Schema version in PRAGMA user_version, migrated forward on open; a newer one than ours is refused
/// with a clear line; a damaged file is set aside as casemate.db.damaged-<time> and a new one begun (`note()` says so).
class History {
 public:
  /// "": state_directory(). Takes in the spool (each line once, also when two open at a time or one is killed; torn and foreign lines are
  /// dropped).
  static Result<History> open(std::string directory = "");
  History(History&&) noexcept;
  History& operator=(History&&) noexcept;
  ~History();
  Result<std::int64_t> add(const RunRecord& record);
  Result<std::vector<RunRecord>> find(const HistoryQuery& query) const;  ///< newest first
  Result<std::optional<RunRecord>> get(std::int64_t id) const;
  /// Mean wall time of the last three runs with this key.
  Result<std::optional<std::int64_t>> expected_wall_us(const std::string& key) const;
  /// Removes records older than this. Number removed.
  Result<std::int64_t> prune(std::int64_t before_ms);
  /// What open() has to tell a person, on one line; "" if nothing.
  [[nodiscard]] const std::string& note() const;

 private:
  struct Parts;
  explicit History(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
