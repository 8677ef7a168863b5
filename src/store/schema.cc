#include "store/schema.h"

#include <cerrno>
#include <cstdio>
#include <ctime>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr off_t kCheckedSize = 8 << 20;  // bytes of database that are checked whole at each open: some milliseconds

Result<void> migrate(const Database& database, const Place& place, const std::string& path, const Schema& schema) {
  const auto newest = static_cast<std::int64_t>(schema.migrations.size());
  TRY(database.execute("BEGIN IMMEDIATE"));
  auto migrated = [&]() -> Result<void> {
    TRY_ASSIGN(std::int64_t version, database.number("PRAGMA user_version"));
    if (version < 0 || version > newest)
      return fail(ErrorCode::not_supported,
                  fmt::format("{} was written by a newer casemate (schema {}, this one knows {}): update casemate, or set {} to another "
                              "directory",
                              printable_name(path), version, newest, place.variable));
    if (version == 0) {
      TRY_ASSIGN(const std::int64_t tables, database.number("SELECT count(*) FROM sqlite_master"));
      if (tables != 0) return fail(ErrorCode::corrupt, "it is a database of another program");
    }
    for (; version < newest; ++version) TRY(database.execute(schema.migrations[static_cast<std::size_t>(version)]));
    return database.execute(fmt::format("PRAGMA user_version = {}", newest));
  }();
  TRY(database.execute(migrated ? "COMMIT" : "ROLLBACK"));
  return migrated;
}

// Opens, checks and migrates. `corrupt`: it has to be set aside.
Result<Database> open_checked(const Place& place, const std::string& path, const Schema& schema) {
  const auto newest = static_cast<std::int64_t>(schema.migrations.size());
  TRY_ASSIGN(Database database, Database::open(path, place.variable));
  TRY_ASSIGN(const std::int64_t version, database.number("PRAGMA user_version"));
  if (version == 0) TRY(database.execute("PRAGMA auto_vacuum = INCREMENTAL"));
  if (version <= newest)
    TRY(database.execute(fmt::format("PRAGMA journal_mode = WAL; PRAGMA synchronous = {}", schema.synchronous ? "FULL" : "NORMAL")));
  if (version != newest) TRY(migrate(database, place, path, schema));
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && info.st_size <= kCheckedSize) {
    TRY_ASSIGN(Statement check, database.prepare("PRAGMA quick_check(1)"));
    TRY_ASSIGN(const bool row, check.step());
    if (!row || check.text(0) != "ok") return fail(ErrorCode::corrupt, row ? printable_name(check.text(0)) : "its check gives no answer");
  }
  for (const std::string_view sql : schema.probes) {
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

Result<OpenedDatabase> open_database(const Place& place, const std::string& path, const Schema& schema) {
  std::string note;
  auto database = open_checked(place, path, schema);
  if (!database && database.error().code == ErrorCode::corrupt) {
    TRY_ASSIGN(const std::string aside, set_aside(place, path));
    note =
        fmt::format("{} was damaged ({}); it is now {} and a new one is begun", schema.name, database.error().what, printable_name(aside));
    database = open_checked(place, path, schema);
  }
  if (!database) return std::unexpected(database.error());
  return OpenedDatabase{std::move(*database), std::move(note)};
}

}  // namespace casemate
