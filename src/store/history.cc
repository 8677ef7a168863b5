// Theory of operation. spool_run() appends to casemate.spool under a shared flock(2); open() renames that file to casemate.spool.<random>,
// waits for the writers that still hold it, inserts its lines in one transaction and unlinks it after the commit. Each line has an id with
// a UNIQUE column, so a file that is met again (its taker was killed between commit and unlink) adds nothing. The lock that an
// OpenedHistory holds keeps openers one at a time: so only one of them takes in a given file.
#include "store/history.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <limits>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"
#include "store/database.h"
#include "store/history_database.h"
#include "store/parts.h"
#include "store/spool.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::string_view kSpool = "casemate.spool";
constexpr std::string_view kInsert =
    "INSERT OR IGNORE INTO runs (spool_id, started_ms, front_end, name, key, outcome, code, wall_us, cpu_us, peak_memory_bytes, details) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
constexpr std::string_view kColumns = "id, started_ms, front_end, name, key, outcome, code, wall_us, cpu_us, peak_memory_bytes, details";

Result<void> insert(Statement& statement, const std::string& spool_id, const RunRecord& record) {
  statement.bind(1, spool_id)
      .bind(2, record.started_ms)
      .bind(3, record.front_end)
      .bind(4, record.name)
      .bind(5, record.key)
      .bind(6, record.outcome);
  statement.bind(7, static_cast<std::int64_t>(record.code)).bind(8, record.wall_us).bind(9, record.cpu_us).bind(11, record.details);
  if (record.peak_memory_bytes)
    statement.bind(10, static_cast<std::int64_t>(*record.peak_memory_bytes));
  else
    statement.bind(10, std::nullopt);
  return statement.run();
}

// The row of a SELECT of kColumns. The file may have been changed by anybody: texts are made fit again.
RunRecord read_record(const Statement& row) {
  RunRecord record;
  record.id = row.number(0);
  record.started_ms = row.number(1);
  record.front_end = row.text(2);
  record.name = row.text(3);
  record.key = row.text(4);
  record.outcome = row.text(5);
  record.code = static_cast<int>(row.number(6));
  record.wall_us = row.number(7);
  record.cpu_us = row.number(8);
  if (!row.is_null(9)) record.peak_memory_bytes = static_cast<std::uint64_t>(row.number(9));
  record.details = row.text(10);
  return tidy(std::move(record));
}

// An exclusive flock(2), waited for at most `tries` times 10 ms.
bool lock_exclusively(int fd, int tries) {
  for (int i = 0; i < tries; ++i) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) return true;  // a file system without locks: nothing to wait for
    ::usleep(10'000);
  }
  return false;
}

// Calls `take` with each whole line of an open file that is at most kSpoolLineLimit bytes.
template <class Take>
Result<void> for_each_line(int fd, const Take& take) {
  std::string pending;
  std::string buffer(64 << 10, '\0');
  bool too_long = false;
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read the spool");
    if (got == 0) return {};
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      pending.append(rest.substr(0, end));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      too_long = too_long || pending.size() > kSpoolLineLimit;
      if (too_long) pending.clear();
      if (end == std::string_view::npos) break;
      if (!too_long && !pending.empty()) TRY(take(std::string_view(pending)));
      pending.clear();
      too_long = false;
    }
  }
}

Result<void> take_file(const Database& database, const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) < 0 || !S_ISREG(info.st_mode)) return {};  // foreign
  if (!lock_exclusively(fd.get(), 200)) return {};                               // a stopped writer: next time
  TRY_ASSIGN(Statement statement, database.prepare(kInsert));
  TRY(database.execute("BEGIN IMMEDIATE"));
  auto taken = for_each_line(fd.get(), [&](std::string_view text) -> Result<void> {
    const auto line = parse_spool_line(text);
    return line ? insert(statement, line->id, line->record) : Result<void>();
  });
  TRY(database.execute(taken ? "COMMIT" : "ROLLBACK"));
  if (taken) ::unlink(path.c_str());
  return taken;
}

// Takes in the spool and what killed takers left of earlier ones.
Result<void> take_in(const Database& database, const std::string& directory) {
  const std::string spool = fmt::format("{}/{}", directory, kSpool);
  if (::rename(spool.c_str(), fmt::format("{}.{}", spool, random_name()).c_str()) < 0 && errno != ENOENT)
    return fail_errno("rename " + spool);
  std::vector<std::string> paths;
  DIR* opened = ::opendir(directory.c_str());
  if (!opened) return fail_errno("read the directory " + directory);
  while (const dirent* entry = ::readdir(opened)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(kSpool) && name.size() == kSpool.size() + 17 && name[kSpool.size()] == '.')
      paths.push_back(fmt::format("{}/{}", directory, name));
  }
  ::closedir(opened);
  for (const std::string& path : paths) TRY(take_file(database, path));
  return {};
}

}  // namespace

struct History::Parts {
  Database database;
  std::string note;
};

Result<History> History::open(std::string directory) {
  TRY_ASSIGN(OpenedHistory opened, open_history_database(std::move(directory)));
  if (auto taken = take_in(opened.database, opened.directory); !taken && opened.note.empty())
    opened.note = "the latest runs could not be taken in: " + taken.error().what;
  return History(std::make_unique<Parts>(Parts{std::move(opened.database), std::move(opened.note)}));
}

History::History(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
History::History(History&&) noexcept = default;
History& History::operator=(History&&) noexcept = default;
History::~History() = default;

const std::string& History::note() const { return parts_->note; }

Result<std::int64_t> History::add(const RunRecord& record) {
  TRY_ASSIGN(Statement statement, parts_->database.prepare(kInsert));
  TRY(insert(statement, random_name(), tidy(record)));
  return parts_->database.last_id();
}

Result<std::vector<RunRecord>> History::find(const HistoryQuery& query) const {
  TRY_ASSIGN(Statement statement,
             parts_->database.prepare(fmt::format("SELECT {} FROM runs WHERE (?1 = '' OR front_end = ?1) AND (?2 = '' OR outcome = ?2) "
                                                  "AND (?3 = '' OR instr(name, ?3) > 0) ORDER BY started_ms DESC, id DESC LIMIT ?4",
                                                  kColumns)));
  constexpr std::size_t kMost = std::numeric_limits<std::int64_t>::max();
  statement.bind(1, query.front_end)
      .bind(2, query.outcome)
      .bind(3, query.name_contains)
      .bind(4, static_cast<std::int64_t>(std::min(query.limit, kMost)));
  std::vector<RunRecord> records;
  for (;;) {
    TRY_ASSIGN(const bool row, statement.step());
    if (!row) return records;
    records.push_back(read_record(statement));
  }
}

Result<std::optional<RunRecord>> History::get(std::int64_t id) const {
  TRY_ASSIGN(Statement statement, parts_->database.prepare(fmt::format("SELECT {} FROM runs WHERE id = ?1", kColumns)));
  TRY_ASSIGN(const bool row, statement.bind(1, id).step());
  if (!row) return std::nullopt;
  return read_record(statement);
}

Result<std::optional<std::int64_t>> History::expected_wall_us(const std::string& key) const {
  if (key.empty()) return std::nullopt;
  RunRecord record;
  record.key = key;
  TRY_ASSIGN(Statement statement,
             parts_->database.prepare("SELECT CAST(avg(wall_us) AS INTEGER) FROM "
                                      "(SELECT wall_us FROM runs WHERE key = ?1 ORDER BY started_ms DESC, id DESC LIMIT 3)"));
  TRY_ASSIGN(const bool row, statement.bind(1, tidy(record).key).step());
  if (!row || statement.is_null(0)) return std::nullopt;
  return statement.number(0);
}

Result<std::int64_t> History::prune(std::int64_t before_ms) {
  TRY_ASSIGN(Statement statement, parts_->database.prepare("DELETE FROM runs WHERE started_ms < ?1"));
  TRY(statement.bind(1, before_ms).run());
  const std::int64_t removed = parts_->database.changes();
  if (removed > 0) TRY(parts_->database.execute("PRAGMA incremental_vacuum"));
  return removed;
}

}  // namespace casemate
