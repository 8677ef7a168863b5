// Theory of operation. casemate.lock, held exclusively while opening, keeps openers one at a time: so only one of them sets a damaged
// database aside or migrates it. After that SQLite's own locks do (WAL: readers never wait, writers for each other).
#include "store/history_database.h"

#include <cerrno>
#include <cstdio>
#include <ctime>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directories.h"
#include "base/terminal.h"
#include "store/place.h"

namespace casemate {
namespace {

constexpr off_t kCheckedSize = 8 << 20;  // bytes of database that are checked whole at each open: some milliseconds

// Step N brings a database from version N to N + 1.
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
};
constexpr std::int64_t kSchema = std::size(kMigrations);

// What has to be there, for a file that says it is of our schema.
constexpr std::string_view kProbes[] = {
    "SELECT id, spool_id, started_ms, front_end, name, key, outcome, code, wall_us, cpu_us, peak_memory_bytes, details FROM runs",
    "SELECT id, directory FROM test_projects",
    "SELECT id, name FROM test_containers",
    "SELECT id, project, front_end, arguments, source, began_ms, results, took_us, counts, flaky, not_run, stopped_because, problem, "
    "exit_status FROM test_runs",
    "SELECT id, project, container, node, last_run, verdict, duration_1, duration_2, duration_3 FROM tests",
    "SELECT run, test, number, attempt, verdict, outcome, code, began_us, duration_us, cpu_us, peak_memory_bytes, slot, last, flaky, "
    "reason, leak FROM test_results",
};

Result<void> migrate(const Database& database, const std::string& path) {
  TRY(database.execute("BEGIN IMMEDIATE"));
  auto migrated = [&]() -> Result<void> {
    TRY_ASSIGN(std::int64_t version, database.number("PRAGMA user_version"));
    if (version < 0 || version > kSchema)
      return fail(ErrorCode::not_supported,
                  fmt::format("{} was written by a newer casemate (schema {}, this one knows {}): update casemate, or set "
                              "CASEMATE_STATE_DIR to another directory",
                              printable_name(path), version, kSchema));
    if (version == 0) {
      TRY_ASSIGN(const std::int64_t tables, database.number("SELECT count(*) FROM sqlite_master"));
      if (tables != 0) return fail(ErrorCode::corrupt, "it is a database of another program");
    }
    for (; version < kSchema; ++version) TRY(database.execute(kMigrations[version]));
    return database.execute(fmt::format("PRAGMA user_version = {}", kSchema));
  }();
  TRY(database.execute(migrated ? "COMMIT" : "ROLLBACK"));
  return migrated;
}

// Opens, checks and migrates. `corrupt`: it has to be set aside.
Result<Database> open_checked(const std::string& path) {
  TRY_ASSIGN(Database database, Database::open(path, "CASEMATE_STATE_DIR"));
  TRY_ASSIGN(const std::int64_t version, database.number("PRAGMA user_version"));
  if (version == 0) TRY(database.execute("PRAGMA auto_vacuum = INCREMENTAL"));
  if (version <= kSchema) TRY(database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"));
  if (version != kSchema) TRY(migrate(database, path));
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && info.st_size <= kCheckedSize) {
    TRY_ASSIGN(Statement check, database.prepare("PRAGMA quick_check(1)"));
    TRY_ASSIGN(const bool row, check.step());
    if (!row || check.text(0) != "ok") return fail(ErrorCode::corrupt, row ? printable_name(check.text(0)) : "its check gives no answer");
  }
  for (const std::string_view sql : kProbes) {
    if (!database.prepare(sql)) return fail(ErrorCode::corrupt, "its tables are not ours");
  }
  return database;
}

// Moves a damaged database and its journals away; where it lies now.
Result<std::string> set_aside(const Place& place, const std::string& path) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char time[32];
  std::strftime(time, sizeof time, "%Y%m%dT%H%M%SZ", &parts);
  std::string aside = fmt::format("{}.damaged-{}", path, time);
  struct stat info{};
  for (int number = 2; ::lstat(aside.c_str(), &info) == 0; ++number) aside = fmt::format("{}.damaged-{}-{}", path, time, number);
  for (const char* suffix : {"-wal", "-shm", "-journal", ""}) {
    if (::rename((path + suffix).c_str(), (aside + suffix).c_str()) < 0 && errno != ENOENT)
      return place.failure("move the damaged " + printable_name(path) + " away", errno);
  }
  return aside;
}

}  // namespace

Result<OpenedHistory> open_history_database(std::string directory) {
  TRY_ASSIGN(directory, absolute_path(directory.empty() ? state_directory() : directory));
  const Place place{directory, "CASEMATE_STATE_DIR"};
  TRY(place.make());
  const std::string lock_path = directory + "/casemate.lock";
  UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return place.failure("write " + printable_name(lock_path), errno);
  while (::flock(lock.get(), LOCK_EX) < 0 && errno == EINTR) continue;
  const std::string path = directory + "/casemate.db";
  std::string note;
  auto database = open_checked(path);
  if (!database && database.error().code == ErrorCode::corrupt) {
    TRY_ASSIGN(const std::string aside, set_aside(place, path));
    note = fmt::format("the history database was damaged ({}); it is now {} and a new one is begun", database.error().what,
                       printable_name(aside));
    database = open_checked(path);
  }
  if (!database) return std::unexpected(database.error());
  return OpenedHistory{std::move(*database), std::move(directory), std::move(note), std::move(lock)};
}

}  // namespace casemate
