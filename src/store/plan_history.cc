// Theory of operation. plans.lock, held exclusively while opening, keeps openers one at a time, as for the history database. A run that
// lives holds a lock file of its own (plans/run.<id>): locks go with their process however it ends, so a row that says `running` and whose
// lock nobody holds is of a process that was killed. Artifacts are on disk before a row names them (artifact_files.h).
#include "store/plan_history.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/directories.h"
#include "base/terminal.h"
#include "store/artifact_files.h"
#include "store/database.h"
#include "store/lock.h"
#include "store/parts.h"
#include "store/place.h"
#include "store/schema.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr const char* kMigrations[] = {
    R"(CREATE TABLE runs (
         number INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         plan TEXT NOT NULL,
         path TEXT NOT NULL,
         tool TEXT NOT NULL,
         mode TEXT NOT NULL,
         executor TEXT NOT NULL,
         image TEXT NOT NULL,
         started_ms INTEGER NOT NULL,
         took_us INTEGER NOT NULL,
         state TEXT NOT NULL,
         total INTEGER NOT NULL,
         passed INTEGER NOT NULL,
         failed INTEGER NOT NULL,
         error INTEGER NOT NULL,
         skipped INTEGER NOT NULL);
       CREATE INDEX runs_by_plan ON runs (plan, number);
       CREATE INDEX runs_by_path ON runs (path, number);
       CREATE TABLE cases (
         run INTEGER NOT NULL,
         number INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL,
         name TEXT NOT NULL,
         status TEXT NOT NULL,
         reason TEXT NOT NULL,
         took_us INTEGER NOT NULL,
         result TEXT NOT NULL,
         UNIQUE (run, id));
       CREATE TABLE artifacts (
         run INTEGER NOT NULL,
         case_id TEXT NOT NULL,
         number INTEGER NOT NULL,
         step_id TEXT NOT NULL,
         kind TEXT NOT NULL,
         path TEXT NOT NULL,
         digest TEXT NOT NULL,
         bytes INTEGER NOT NULL,
         PRIMARY KEY (run, case_id, number)) WITHOUT ROWID;)",
};

// What has to be there, for a file that says it is of our schema.
constexpr std::string_view kProbes[] = {
    "SELECT number, id, plan, path, tool, mode, executor, image, started_ms, took_us, state, total, passed, failed, error, skipped FROM "
    "runs",
    "SELECT run, number, id, name, status, reason, took_us, result FROM cases",
    "SELECT run, case_id, number, step_id, kind, path, digest, bytes FROM artifacts",
};

constexpr Schema kSchema{.name = "the database of plans", .migrations = kMigrations, .probes = kProbes, .synchronous = true};

constexpr std::string_view kColumns =
    "id, plan, path, tool, mode, executor, image, started_ms, took_us, state, total, passed, failed, error, skipped";

bool is_run_id(std::string_view text) {
  return !text.empty() && text.size() <= 12 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::size_t count_in(const Statement& row, int column) { return static_cast<std::size_t>(std::max<std::int64_t>(row.number(column), 0)); }

std::int64_t as_number(std::uint64_t value) { return static_cast<std::int64_t>(value & 0x7fff'ffff'ffff'ffff); }

// The row of a SELECT of kColumns.
PlanRunRow read_run(const Statement& row) {
  return {.id = row.text(0),
          .plan = row.text(1),
          .path = row.text(2),
          .tool = row.text(3),
          .mode = row.text(4),
          .executor = row.text(5),
          .image = row.text(6),
          .started_ms = row.number(7),
          .took_us = row.number(8),
          .state = row.text(9),
          .total = count_in(row, 10),
          .passed = count_in(row, 11),
          .failed = count_in(row, 12),
          .error = count_in(row, 13),
          .skipped = count_in(row, 14)};
}

// Binds what can change of a run to parameters 1 to 8.
void bind_totals(Statement& statement, const PlanRunRow& run) {
  statement.bind(1, run.took_us).bind(2, run.state).bind(3, as_number(run.total)).bind(4, as_number(run.passed));
  statement.bind(5, as_number(run.failed)).bind(6, as_number(run.error)).bind(7, as_number(run.skipped)).bind(8, run.id);
}

}  // namespace

struct PlanHistory::Parts {
  Database database;
  ArtifactFiles files;
  std::string directory;
  std::string note;
  std::map<std::string, LockFile> running;  // by id: ours

  // All or nothing of what `body` does.
  template <class Body>
  Result<void> transaction(const Body& body) const {
    TRY(database.execute("BEGIN IMMEDIATE"));
    Result<void> done = body();
    if (done) done = database.execute("COMMIT");
    if (!done) static_cast<void>(database.execute("ROLLBACK"));
    return done;
  }

  [[nodiscard]] std::string lock_path(const std::string& id) const { return fmt::format("{}/plans/run.{}", directory, id); }

  // Whether the process of a row that says `running` still is.
  [[nodiscard]] bool lives(const std::string& id) const {
    if (running.contains(id)) return true;
    if (!is_run_id(id)) return false;
    const auto lock = LockFile::open(lock_path(id), false);
    return lock && lock->held_by_others(LockFile::Part::both, LockFile::Mode::exclusive);
  }

  [[nodiscard]] Result<std::vector<PlanRunRow>> read_runs(Statement& rows) const {
    std::vector<PlanRunRow> runs;
    for (;;) {
      TRY_ASSIGN(const bool row, rows.step());
      if (!row) return runs;
      runs.push_back(read_run(rows));
      if (runs.back().state == "running" && !lives(runs.back().id)) runs.back().state = "killed";
    }
  }

  [[nodiscard]] Result<std::int64_t> number_of(const std::string& id) const {
    TRY_ASSIGN(Statement statement, database.prepare("SELECT number FROM runs WHERE id = ?1"));
    statement.bind(1, id);
    TRY_ASSIGN(const bool row, statement.step());
    if (!row) return fail(ErrorCode::not_found, fmt::format("there is no run '{}' of a plan (any more)", printable_line(id)));
    return statement.number(0);
  }

  // Rows of dead processes become `killed`, and their lock files go.
  [[nodiscard]] Result<void> bury_dead() const {
    TRY_ASSIGN(Statement statement, database.prepare("SELECT id FROM runs WHERE state = 'running'"));
    std::vector<std::string> dead;
    for (;;) {
      TRY_ASSIGN(const bool row, statement.step());
      if (!row) break;
      if (std::string id = statement.text(0); !lives(id)) dead.push_back(std::move(id));
    }
    for (const std::string& id : dead) {
      TRY_ASSIGN(Statement killed, database.prepare("UPDATE runs SET state = 'killed' WHERE id = ?1 AND state = 'running'"));
      TRY(killed.bind(1, id).run());
      if (is_run_id(id)) ::unlink(lock_path(id).c_str());
    }
    return {};
  }

  [[nodiscard]] Result<void> insert_run(const PlanRunRow& run) const {
    TRY_ASSIGN(Statement insert,
               database.prepare(fmt::format(
                   "INSERT INTO runs ({}) VALUES (?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?1, ?2, ?3, ?4, ?5, ?6, ?7)", kColumns)));
    bind_totals(insert, run);
    insert.bind(9, run.plan).bind(10, run.path).bind(11, run.tool).bind(12, run.mode).bind(13, run.executor).bind(14, run.image);
    return insert.bind(15, run.started_ms).run();
  }

  [[nodiscard]] Result<void> insert_case(std::int64_t run, const PlanCaseRow& one, const std::vector<PlanArtifact>& artifacts) const {
    TRY_ASSIGN(Statement insert,
               database.prepare("INSERT OR REPLACE INTO cases (run, id, name, status, reason, took_us, result) VALUES (?1, "
                                "?2, ?3, ?4, ?5, ?6, ?7)"));
    insert.bind(1, run).bind(2, one.id).bind(3, one.name).bind(4, one.status).bind(5, one.reason).bind(6, one.took_us).bind(7, one.result);
    TRY(insert.run());
    TRY_ASSIGN(Statement forget, database.prepare("DELETE FROM artifacts WHERE run = ?1 AND case_id = ?2"));
    TRY(forget.bind(1, run).bind(2, one.id).run());
    TRY_ASSIGN(Statement name,
               database.prepare("INSERT INTO artifacts (run, case_id, number, step_id, kind, path, digest, bytes) VALUES (?1, "
                                "?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
    std::int64_t number = 0;
    for (const PlanArtifact& artifact : artifacts) {
      name.bind(1, run).bind(2, one.id).bind(3, ++number).bind(4, artifact.step_id).bind(5, artifact.kind).bind(6, artifact.path);
      TRY(name.bind(7, artifact.digest).bind(8, as_number(artifact.bytes)).run());
    }
    return {};
  }

  // The numbers of the recordings that verifying takes a case from: the newest of each case of a path.
  [[nodiscard]] Result<std::set<std::int64_t>> recordings() const {
    TRY_ASSIGN(Statement rows, database.prepare("SELECT DISTINCT newest FROM (SELECT MAX(r.number) AS newest FROM runs r JOIN cases c ON "
                                                "c.run = r.number WHERE r.mode = 'record' AND r.state = 'finished' AND c.id <> '' AND "
                                                "c.status NOT IN ('not_run', 'skipped') GROUP BY r.path, c.id)"));
    std::set<std::int64_t> numbers;
    for (;;) {
      TRY_ASSIGN(const bool row, rows.step());
      if (!row) return numbers;
      numbers.insert(rows.number(0));
    }
  }

  // The numbers of runs that are beyond the newest `keep` of their path, don't run, and that nobody compares with.
  [[nodiscard]] Result<std::vector<std::int64_t>> old_runs(std::size_t keep) const {
    TRY_ASSIGN(const std::set<std::int64_t> recorded, recordings());
    TRY_ASSIGN(Statement rows, database.prepare("SELECT number, path, id, state FROM runs ORDER BY number DESC"));
    std::map<std::string, std::size_t> kept;
    std::vector<std::int64_t> old;
    for (;;) {
      TRY_ASSIGN(const bool row, rows.step());
      if (!row) return old;
      if (++kept[rows.text(1)] <= keep || (rows.text(3) == "running" && lives(rows.text(2)))) continue;
      if (!recorded.contains(rows.number(0))) old.push_back(rows.number(0));
    }
  }

  [[nodiscard]] Result<void> remove_runs(const std::vector<std::int64_t>& numbers) const {
    for (const std::string_view sql :
         {"DELETE FROM artifacts WHERE run = ?1", "DELETE FROM cases WHERE run = ?1", "DELETE FROM runs WHERE number = ?1"}) {
      TRY_ASSIGN(Statement statement, database.prepare(sql));
      for (const std::int64_t number : numbers) TRY(statement.bind(1, number).run());
    }
    return {};
  }

  [[nodiscard]] Result<std::set<std::string>> named_artifacts() const {
    TRY_ASSIGN(Statement rows, database.prepare("SELECT digest FROM artifacts UNION SELECT plan FROM runs"));
    std::set<std::string> named;
    for (;;) {
      TRY_ASSIGN(const bool row, rows.step());
      if (!row) return named;
      named.insert(rows.text(0));
    }
  }
};

PlanHistory::PlanHistory(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PlanHistory::PlanHistory(PlanHistory&&) noexcept = default;
PlanHistory& PlanHistory::operator=(PlanHistory&&) noexcept = default;
PlanHistory::~PlanHistory() = default;

Result<PlanHistory> PlanHistory::open(std::string directory) {
  TRY_ASSIGN(directory, absolute_path(directory.empty() ? state_directory() : directory));
  const Place place{directory, "CASEMATE_STATE_DIR"};
  TRY(place.make());
  auto lock = LockFile::open(directory + "/plans.lock", true);
  if (!lock) return place.failure("write " + printable_name(directory + "/plans.lock"), lock.error().errno_value);
  TRY(lock->lock(LockFile::Part::both, LockFile::Mode::exclusive));
  TRY_ASSIGN(OpenedDatabase opened, open_database(place, directory + "/plans.db", kSchema));
  TRY_ASSIGN(ArtifactFiles files, ArtifactFiles::open(place));
  return PlanHistory(std::make_unique<Parts>(std::move(opened.database), std::move(files), std::move(directory), std::move(opened.note)));
}

const std::string& PlanHistory::note() const { return parts_->note; }

Result<std::string> PlanHistory::begin(const PlanRunRow& run) {
  TRY(parts_->bury_dead());
  PlanRunRow row = run;
  row.id = random_name().substr(0, 12);
  row.state = "running";
  // The lock before the row: nobody ever sees a row of a living run without it.
  TRY_ASSIGN(LockFile lock, LockFile::open(parts_->lock_path(row.id), true));
  TRY(lock.lock(LockFile::Part::both, LockFile::Mode::exclusive));
  if (auto inserted = parts_->insert_run(row); !inserted) {
    lock.remove();
    return std::unexpected(inserted.error());
  }
  parts_->running.emplace(row.id, std::move(lock));
  parts_->files.let_go(row.plan);
  return row.id;
}

Result<void> PlanHistory::add_case(const std::string& run, const PlanCaseRow& one, const std::vector<PlanArtifact>& artifacts) {
  TRY(parts_->transaction([&]() -> Result<void> {
    TRY_ASSIGN(const std::int64_t number, parts_->number_of(run));
    return parts_->insert_case(number, one, artifacts);
  }));
  for (const PlanArtifact& artifact : artifacts) parts_->files.let_go(artifact.digest);
  return {};
}

Result<void> PlanHistory::end(const PlanRunRow& run) {
  TRY_ASSIGN(Statement update, parts_->database.prepare("UPDATE runs SET took_us = ?1, state = ?2, total = ?3, passed = ?4, failed = ?5, "
                                                        "error = ?6, skipped = ?7 WHERE id = ?8"));
  bind_totals(update, run);
  TRY(update.run());
  if (parts_->database.changes() == 0) TRY(parts_->number_of(run.id));
  if (const auto found = parts_->running.find(run.id); found != parts_->running.end()) {
    found->second.remove();
    parts_->running.erase(found);
  }
  if (parts_->running.empty()) parts_->files.let_go_all();
  return {};
}

Result<std::string> PlanHistory::keep(std::string_view bytes) { return parts_->files.keep(bytes); }
Result<std::string> PlanHistory::read(const std::string& digest) const { return parts_->files.read(digest); }

Result<std::vector<PlanRunRow>> PlanHistory::runs(const std::string& plan, std::size_t limit) const {
  TRY_ASSIGN(Statement rows, parts_->database.prepare(fmt::format(
                                 "SELECT {} FROM runs WHERE ?1 = '' OR plan = ?1 OR path = ?1 ORDER BY number DESC LIMIT ?2", kColumns)));
  rows.bind(1, plan).bind(2, as_number(limit));
  return parts_->read_runs(rows);
}

Result<std::optional<PlanRunRow>> PlanHistory::run(const std::string& id) const {
  if (!is_run_id(id)) return std::nullopt;
  TRY_ASSIGN(Statement rows, parts_->database.prepare(
                                 fmt::format("SELECT {} FROM runs WHERE substr(id, 1, ?2) = ?1 ORDER BY number DESC LIMIT 3", kColumns)));
  rows.bind(1, id).bind(2, as_number(id.size()));
  TRY_ASSIGN(std::vector<PlanRunRow> found, parts_->read_runs(rows));
  if (found.empty()) return std::nullopt;
  if (found.size() > 1)
    return fail(ErrorCode::invalid_input,
                fmt::format("several runs begin with '{}' ({}, {}{}): give more of its id", id, printable_line(found[0].id),
                            printable_line(found[1].id), found.size() > 2 ? ", ..." : ""));
  return found.front();
}

Result<std::vector<PlanCaseRow>> PlanHistory::cases(const std::string& run) const {
  TRY_ASSIGN(const std::int64_t number, parts_->number_of(run));
  TRY_ASSIGN(Statement rows,
             parts_->database.prepare("SELECT id, name, status, reason, took_us, result FROM cases WHERE run = ?1 ORDER BY number"));
  rows.bind(1, number);
  std::vector<PlanCaseRow> cases;
  for (;;) {
    TRY_ASSIGN(const bool row, rows.step());
    if (!row) return cases;
    cases.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.number(4), rows.text(5)});
  }
}

Result<std::vector<PlanArtifact>> PlanHistory::artifacts(const std::string& run) const {
  TRY_ASSIGN(const std::int64_t number, parts_->number_of(run));
  TRY_ASSIGN(Statement rows,
             parts_->database.prepare("SELECT a.case_id, a.step_id, a.kind, a.path, a.digest, a.bytes FROM artifacts a JOIN "
                                      "cases c ON c.run = a.run AND c.id = a.case_id WHERE a.run = ?1 ORDER BY c.number, a.number"));
  rows.bind(1, number);
  std::vector<PlanArtifact> artifacts;
  for (;;) {
    TRY_ASSIGN(const bool row, rows.step());
    if (!row) return artifacts;
    artifacts.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), count_in(rows, 5)});
  }
}

Result<std::optional<PlanRunRow>> PlanHistory::unfinished(const std::string& plan) const {
  TRY_ASSIGN(Statement rows,
             parts_->database.prepare(fmt::format("SELECT {} FROM runs WHERE plan = ?1 ORDER BY number DESC LIMIT 100", kColumns)));
  rows.bind(1, plan);
  TRY_ASSIGN(std::vector<PlanRunRow> runs, parts_->read_runs(rows));
  for (PlanRunRow& run : runs) {
    if (run.state == "killed" || run.state == "cancelled") return std::move(run);
    if (run.state == "finished") return std::nullopt;
  }
  return std::nullopt;
}

Result<std::map<std::string, std::int64_t>> PlanHistory::times(const std::string& path) const {
  TRY_ASSIGN(Statement rows, parts_->database.prepare(
                                 "SELECT c.id, c.took_us FROM runs r JOIN cases c ON c.run = r.number WHERE r.number IN (SELECT number "
                                 "FROM runs WHERE path = ?1 ORDER BY number DESC LIMIT 5) ORDER BY c.number DESC"));
  rows.bind(1, path);
  std::map<std::string, std::int64_t> times;
  for (;;) {
    TRY_ASSIGN(const bool row, rows.step());
    if (!row) return times;
    times.emplace(rows.text(0), rows.number(1));
  }
}

Result<void> PlanHistory::prune(std::size_t keep) {
  TRY(parts_->bury_dead());
  TRY(parts_->transaction([&]() -> Result<void> {
    TRY_ASSIGN(const std::vector<std::int64_t> old, parts_->old_runs(keep));
    return parts_->remove_runs(old);
  }));
  TRY(parts_->database.execute("PRAGMA incremental_vacuum"));
  // In one write transaction: nobody names an artifact between our look and its end.
  return parts_->transaction([&]() -> Result<void> {
    TRY_ASSIGN(const std::set<std::string> named, parts_->named_artifacts());
    TRY(parts_->files.remove_others(named));
    return {};
  });
}

}  // namespace casemate
