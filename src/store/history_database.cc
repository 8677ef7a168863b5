// Theory of operation. casemate.lock, held exclusively while opening, keeps openers one at a time: so only one of them sets a damaged
// database aside or migrates it. After that SQLite's own locks do (WAL: readers never wait, writers for each other).
#include "store/history_database.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/directories.h"
#include "base/terminal.h"
#include "store/place.h"
#include "store/schema.h"

namespace casemate {
namespace {

constexpr const char* kMigrations[] = {
    R"(CREATE TABLE runs (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         spool_id TEXT NOT NULL UNIQUE,
         started_ms INTEGER NOT NULL,
         front_end TEXT NOT NULL,
         name TEXT NOT NULL,
         key TEXT NOT NULL,
         outcome TEXT NOT NULL,
         code INTEGER NOT NULL,
         wall_us INTEGER NOT NULL,
         cpu_us INTEGER NOT NULL,
         peak_memory_bytes INTEGER,
         details TEXT NOT NULL);
       CREATE INDEX runs_by_start ON runs (started_ms, id);
       CREATE INDEX runs_by_key ON runs (key, started_ms, id);)",
    // `tests` carries what ordering needs (the last three durations, newest first, and how it ended last), so that one scan of it tells
    // all. Results lie by run: a run appends near the table's end, its removal is one range, and a test's past is one seek a run.
    R"(CREATE TABLE test_projects (id INTEGER PRIMARY KEY, directory TEXT NOT NULL UNIQUE);
       CREATE TABLE test_containers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
       CREATE TABLE test_runs (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         project INTEGER NOT NULL,
         front_end TEXT NOT NULL,
         arguments TEXT NOT NULL,
         source TEXT NOT NULL,
         began_ms INTEGER NOT NULL,
         results INTEGER NOT NULL DEFAULT 0,
         took_us INTEGER NOT NULL DEFAULT 0,
         counts TEXT NOT NULL DEFAULT '{}',
         flaky INTEGER NOT NULL DEFAULT 0,
         not_run INTEGER NOT NULL DEFAULT 0,
         stopped_because TEXT NOT NULL DEFAULT '',
         problem TEXT NOT NULL DEFAULT '',
         exit_status INTEGER);
       CREATE INDEX test_runs_by_project ON test_runs (project, id);
       CREATE TABLE tests (
         project INTEGER NOT NULL,
         container INTEGER NOT NULL,
         node TEXT NOT NULL,
         id INTEGER NOT NULL UNIQUE,
         last_run INTEGER NOT NULL,
         verdict TEXT NOT NULL,
         duration_1 INTEGER,
         duration_2 INTEGER,
         duration_3 INTEGER,
         PRIMARY KEY (project, container, node)) WITHOUT ROWID;
       CREATE TABLE test_results (
         run INTEGER NOT NULL,
         test INTEGER NOT NULL,
         number INTEGER NOT NULL,
         attempt INTEGER NOT NULL,
         verdict TEXT NOT NULL,
         outcome TEXT,
         code INTEGER NOT NULL,
         began_us INTEGER NOT NULL,
         duration_us INTEGER NOT NULL,
         cpu_us INTEGER NOT NULL,
         peak_memory_bytes INTEGER,
         slot INTEGER NOT NULL,
         last INTEGER NOT NULL,
         flaky INTEGER NOT NULL,
         reason TEXT,
         leak TEXT,
         PRIMARY KEY (run, test, number)) WITHOUT ROWID;)",
    "ALTER TABLE tests ADD COLUMN needs_others INTEGER NOT NULL DEFAULT 0",
};

// What has to be there, for a file that says it is of our schema.
constexpr std::string_view kProbes[] = {
    "SELECT id, spool_id, started_ms, front_end, name, key, outcome, code, wall_us, cpu_us, peak_memory_bytes, details FROM runs",
    "SELECT id, directory FROM test_projects",
    "SELECT id, name FROM test_containers",
    R"(SELECT id, project, front_end, arguments, source, began_ms, results, took_us, counts, flaky, not_run, stopped_because, problem,
       exit_status FROM test_runs)",
    "SELECT id, project, container, node, last_run, verdict, duration_1, duration_2, duration_3, needs_others FROM tests",
    R"(SELECT run, test, number, attempt, verdict, outcome, code, began_us, duration_us, cpu_us, peak_memory_bytes, slot, last, flaky,
       reason, leak FROM test_results)",
};

constexpr Schema kSchema{.name = "the history database", .migrations = kMigrations, .probes = kProbes};

}  // namespace

Result<OpenedHistory> open_history_database(std::string directory) {
  TRY_ASSIGN(directory, absolute_path(directory.empty() ? state_directory() : directory));
  const Place place{directory, "CASEMATE_STATE_DIR"};
  TRY(place.make());
  const std::string lock_path = directory + "/casemate.lock";
  UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return place.failure("write " + printable_name(lock_path), errno);
  while (::flock(lock.get(), LOCK_EX) < 0 && errno == EINTR) continue;
  TRY_ASSIGN(OpenedDatabase opened, open_database(place, directory + "/casemate.db", kSchema));
  return OpenedHistory{std::move(opened.database), std::move(directory), std::move(opened.note), std::move(lock)};
}

}  // namespace casemate
