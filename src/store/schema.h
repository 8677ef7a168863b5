// schema: a database file of ours from its path to tables that are known: made or migrated, checked, and set aside where it is damaged.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "store/database.h"
#include "store/place.h"

namespace casemate {

/// What a database file of ours contains.
struct Schema {
  std::string_view name;                     ///< for messages: "the history database"
  std::span<const char* const> migrations;   ///< step N brings it from version N (PRAGMA user_version) to N + 1
  std::span<const std::string_view> probes;  ///< statements that can be prepared only if all tables and columns are there
  bool synchronous = false;                  ///< each commit is on disk when it returns; else a power cut may cost the last ones
};

/// A database that was opened.
struct OpenedDatabase {
  Database database;
  std::string note;  ///< one line for a person: a damaged file was set aside; "" if there is nothing to tell
};

/// Opens or makes `path`, a file in `place`. Fails with not_supported for a schema newer than ours; a damaged file, or one of another
/// program, is set aside as PATH.damaged-<time> and a new one begun. The caller keeps openers one at a time.
Result<OpenedDatabase> open_database(const Place& place, const std::string& path, const Schema& schema);

}  // namespace casemate
