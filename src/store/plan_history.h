// plan_history: plans, their runs, results and artifacts, in SQLite ($XDG_STATE_HOME/casemate/plans.db) and, by digest, in files beside it
// (plans/<two hex digits>/<the rest>).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// One run of a plan.
struct PlanRunRow {
  std::string id;          ///< 12 hex digits, given by begin()
  std::string plan;        ///< digest of the plan as it was read, without results; its text may be kept under it
  std::string path, tool;  ///< for people
  std::string mode;        ///< run, record, verify
  std::string executor, image;
  std::int64_t started_ms = 0;
  std::int64_t took_us = 0;
  std::string state;  ///< running, finished, cancelled, killed (a process that is gone left it running)
  std::size_t total = 0, passed = 0, failed = 0, error = 0, skipped = 0;
};

/// How one case of a run ended.
struct PlanCaseRow {
  std::string id, name, status, reason;
  std::int64_t took_us = 0;
  std::string result;  ///< JSON: the case of the results file, artifacts by digest
};

/// Bytes that a case left, by digest.
struct PlanArtifact {
  std::string case_id, step_id;
  std::string kind;    ///< stdout, stderr, file, log
  std::string path;    ///< of a file, as the cell has it; "" else
  std::string digest;  ///< "sha256:<hex>"
  std::uint64_t bytes = 0;
};

/// One thread at a time; several processes. Migrated forward on open; a damaged file is set aside (store/schema.h). All texts come back as
/// they were given, and a file that somebody changed gives any: make them safe for a screen.
class PlanHistory {
 public:
  /// "": state_directory().
  static Result<PlanHistory> open(std::string directory = "");
  PlanHistory(PlanHistory&&) noexcept;
  PlanHistory& operator=(PlanHistory&&) noexcept;
  ~PlanHistory();

  /// One line for a person: a damaged file was set aside; "" if there is nothing to tell.
  [[nodiscard]] const std::string& note() const;

  /// A run begins, and lives until its end() or this object's; rows of dead processes become `killed`. `id` and `state` are given.
  Result<std::string> begin(const PlanRunRow& run);
  /// Each commit is on disk when it returns. A case of the same id is replaced, with its artifacts. `artifacts` were kept (or read) before.
  Result<void> add_case(const std::string& run, const PlanCaseRow& one, const std::vector<PlanArtifact>& artifacts);
  Result<void> end(const PlanRunRow& run);
  /// Stores bytes once; gives their digest. What no add_case() names until end() goes with a prune().
  Result<std::string> keep(std::string_view bytes);
  /// not_found: pruned; corrupt: not what its digest says.
  Result<std::string> read(const std::string& digest) const;

  /// Newest first; `plan`: a digest or a path, "": all.
  Result<std::vector<PlanRunRow>> runs(const std::string& plan, std::size_t limit) const;
  /// `id`: any beginning of one; invalid_input if several begin so.
  Result<std::optional<PlanRunRow>> run(const std::string& id) const;
  /// In the order in which they were added.
  Result<std::vector<PlanCaseRow>> cases(const std::string& run) const;
  Result<std::vector<PlanArtifact>> artifacts(const std::string& run) const;
  /// The last run of this plan that was killed or cancelled, if none finished since.
  Result<std::optional<PlanRunRow>> unfinished(const std::string& plan) const;
  /// Microseconds by PlanCaseRow::id, each from the newest of the last five runs of this path that has it.
  Result<std::map<std::string, std::int64_t>> times(const std::string& path) const;
  /// Keeps the newest `keep` runs of each path, those that are running, and of each case that was ever recorded the newest recording which
  /// has it; artifacts that no run has any more go, unless another process
  /// is just keeping one: then they wait for the next prune.
  Result<void> prune(std::size_t keep);

 private:
  struct Parts;
  explicit PlanHistory(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
