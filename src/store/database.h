// database: SQLite, thinly: an open file of ours and prepared statements, with errors as values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "casemate/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace casemate {

class Database;

/// One prepared statement. Parameters count from 1, columns from 0, as in SQLite. The database must outlive it.
class Statement {
 public:
  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view text);  ///< copied
  Statement& bind(int index, std::nullopt_t);
  /// Makes it ready to run again, with the parameters it has.
  Statement& reset();
  /// True: a row is there; false: done.
  Result<bool> step();
  /// Runs it to its end and makes it ready for new parameters.
  Result<void> run();
  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(const Database& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}
  const Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// An open database file, in WAL mode where the file system can, waiting up to 5 s for other writers. What it contains is not trusted: no
/// code in schemas.
class Database {
 public:
  /// `variable` is named in errors about the directory.
  static Result<Database> open(const std::string& path, const std::string& variable);
  [[nodiscard]] Result<Statement> prepare(std::string_view sql) const;
  /// Runs statements that give no rows of interest.
  [[nodiscard]] Result<void> execute(const std::string& sql) const;
  /// The first column of the first row; 0 if there is none.
  [[nodiscard]] Result<std::int64_t> number(std::string_view sql) const;
  [[nodiscard]] std::int64_t last_id() const;
  [[nodiscard]] std::int64_t changes() const;
  /// An Error for the last failed call: corrupt, exhausted (disk full), refused (read-only, locked) or system.
  [[nodiscard]] std::unexpected<Error> failure(int code) const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::string path_;
  std::string variable_;
  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace casemate
