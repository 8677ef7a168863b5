#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "base/terminal.h"

// In the static program SQLite's dlopen, of extensions that nobody enables, is this (-Wl,--wrap=dlopen): a program that can't load code,
// and a link without glibc's warning about it.
extern "C" void* __wrap_dlopen(const char*, int) {  // NOLINT(bugprone-reserved-identifier,misc-use-internal-linkage): the linker's name
  return nullptr;
}

namespace casemate {

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement& Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
  return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.empty() ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind(int index, std::nullopt_t) {
  sqlite3_bind_null(statement_.get(), index);
  return *this;
}

Statement& Statement::reset() {
  sqlite3_reset(statement_.get());
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->failure(code);
}

Result<void> Statement::run() {
  const int code = sqlite3_step(statement_.get());
  if (code != SQLITE_DONE && code != SQLITE_ROW) {
    auto failed = database_->failure(code);
    sqlite3_reset(statement_.get());
    return failed;
  }
  sqlite3_reset(statement_.get());
  return {};
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
std::int64_t Statement::number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int length = sqlite3_column_bytes(statement_.get(), column);
  return bytes ? std::string(bytes, static_cast<std::size_t>(length)) : std::string();
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

Result<Database> Database::open(const std::string& path, const std::string& variable) {
  Database database;
  database.path_ = path;
  database.variable_ = variable;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, nullptr);
  database.handle_.reset(handle);
  if (code != SQLITE_OK) return database.failure(code);
  sqlite3_busy_timeout(handle, 5000);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return failure(code);
  return Statement(*this, statement);
}

Result<void> Database::execute(const std::string& sql) const {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure(code);
  return {};
}

Result<std::int64_t> Database::number(std::string_view sql) const {
  TRY_ASSIGN(Statement statement, prepare(sql));
  TRY_ASSIGN(const bool row, statement.step());
  return row ? statement.number(0) : 0;
}

std::int64_t Database::last_id() const { return sqlite3_last_insert_rowid(handle_.get()); }
std::int64_t Database::changes() const { return sqlite3_changes64(handle_.get()); }

std::unexpected<Error> Database::failure(int code) const {
  const std::string shown = printable_name(path_);
  const std::string reason = printable_name(handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code));
  const int error = handle_ ? sqlite3_system_errno(handle_.get()) : 0;
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(ErrorCode::corrupt, fmt::format("the database {} is damaged ({}): move it away and a new one is begun", shown, reason));
    case SQLITE_FULL:
      return fail(ErrorCode::exhausted,
                  fmt::format("no space left for {}: free some, or set {} to a directory on another disk", shown, variable_), ENOSPC);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return fail(ErrorCode::refused,
                  fmt::format("can't write the database {} ({}): set {} to a directory that you may write", shown, reason, variable_),
                  error);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(ErrorCode::refused, fmt::format("the database {} is locked by another program: try again", shown), error);
    default:
      return fail(ErrorCode::system, fmt::format("the database {} failed: {}", shown, reason), error);
  }
}

}  // namespace casemate
