// history_database: the file that keeps what was run (casemate.db): its tables, their migrations, and what happens when it is damaged. Two
// read and write it: History, a row for each job, and TestHistory, runs of tests.
#pragma once

#include <string>

#include "casemate/result.h"
#include "store/database.h"
#include "sys/fd.h"

namespace casemate {

/// The database, open and of our schema.
struct OpenedHistory {
  Database database;
  std::string directory;  ///< absolute
  std::string note;       ///< one line for a person: a damaged file was set aside; "" if there is nothing to tell
  UniqueFd lock;          ///< casemate.lock, exclusively: others that open wait until it is closed
};

/// Opens or makes DIRECTORY/casemate.db (""; state_directory()), migrated to our schema (PRAGMA user_version). A newer schema is refused
/// with a clear line; a damaged file is set aside as casemate.db.damaged-<time> and a new one begun.
Result<OpenedHistory> open_history_database(std::string directory);

}  // namespace casemate
