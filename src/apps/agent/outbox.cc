// Theory of operation. One row a task; its key is UNIQUE, which is what keeps a task from being taken twice. Every change is one statement,
// so one transaction, and synchronous=FULL has its journal on disk when it returns. outbox.lock is held by flock(2) for as long as the
// outbox is open: the kernel lets go of it, whichever way the agent ends.
#include "apps/agent/outbox.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/terminal.h"
#include "store/database.h"
#include "store/place.h"
#include "store/schema.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr const char* kVariable = "--state-dir";
constexpr std::size_t kMostNote = 4096;
constexpr std::size_t kNumberDigits = 15;

constexpr const char* kMigrations[] = {
    R"(CREATE TABLE outbox (
         number INTEGER PRIMARY KEY AUTOINCREMENT,
         key TEXT NOT NULL UNIQUE,
         state TEXT NOT NULL,
         task TEXT NOT NULL,
         grade TEXT,
         attempts INTEGER NOT NULL DEFAULT 0,
         posts INTEGER NOT NULL DEFAULT 0,
         taken_ms INTEGER NOT NULL,
         next_post_ms INTEGER NOT NULL DEFAULT 0,
         note TEXT NOT NULL DEFAULT '');
       CREATE INDEX outbox_open ON outbox (number) WHERE state IN ('taken', 'finished', 'posting');)",
};
constexpr std::string_view kColumns = "number, state, task, grade, attempts, posts, taken_ms, next_post_ms, note";
constexpr std::string_view kProbes[] = {
    "SELECT number, state, task, grade, attempts, posts, taken_ms, next_post_ms, note, key FROM outbox",
};
constexpr Schema kSchema{.name = "the outbox", .migrations = kMigrations, .probes = kProbes, .synchronous = true};

using State = OutboxEntry::State;
constexpr std::pair<State, std::string_view> kStates[] = {{State::taken, "taken"},
                                                          {State::finished, "finished"},
                                                          {State::posting, "posting"},
                                                          {State::posted, "posted"},
                                                          {State::given_up, "given up"}};

std::string_view word(State state) { return std::ranges::find(kStates, state, &std::pair<State, std::string_view>::first)->second; }

std::optional<State> state_of(std::string_view word) {
  const auto* const found = std::ranges::find(kStates, word, &std::pair<State, std::string_view>::second);
  return found == std::end(kStates) ? std::nullopt : std::optional(found->first);
}

std::uint32_t count(std::int64_t value) { return static_cast<std::uint32_t>(std::clamp<std::int64_t>(value, 0, 1'000'000)); }

// The row of a SELECT of kColumns, which anybody may have changed; nullopt: its state or task can't be read.
std::optional<OutboxEntry> read_entry(const Statement& row) {
  const auto state = state_of(row.text(1));
  auto task = task_from_json(row.text(2));
  if (!state || !task) return std::nullopt;
  OutboxEntry entry{.number = row.number(0), .state = *state, .task = std::move(*task)};
  if (!row.is_null(3)) {
    if (auto grade = grade_from_json(row.text(3))) entry.grade = std::move(*grade);
  }
  if (entry.state == State::finished && !entry.grade) entry.state = State::taken;
  entry.attempts = count(row.number(4));
  entry.posts = count(row.number(5));
  entry.taken_ms = row.number(6);
  entry.next_post_ms = row.number(7);
  entry.note = row.text(8).substr(0, kMostNote);
  return entry;
}

Result<UniqueFd> lock_outbox(const Place& place) {
  const std::string path = place.directory + "/outbox.lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return place.failure("write " + printable_name(path), errno);
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK)
      return fail(ErrorCode::refused,
                  fmt::format("another agent is at work in {}: stop that one, or give this one a directory of its own with "
                              "--state-dir",
                              printable_name(place.directory)));
    return place.failure("lock " + printable_name(path), errno);
  }
  return lock;
}

// The largest number that names a directory in tasks/.
std::int64_t largest_number(const std::string& directory) {
  std::int64_t largest = 0;
  DIR* opened = ::opendir((directory + "/tasks").c_str());
  if (!opened) return 0;
  while (const dirent* entry = ::readdir(opened)) {
    const std::string_view name = entry->d_name;
    std::int64_t number = 0;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (problem == std::errc() && end == name.data() + name.size() && name.size() <= kNumberDigits) largest = std::max(largest, number);
  }
  ::closedir(opened);
  return largest;
}

// A new outbox beside what an older one left: numbers are not given a second time.
Result<void> go_on_after(const Database& database, std::int64_t number) {
  TRY_ASSIGN(const std::int64_t known, database.number("SELECT max(seq) FROM sqlite_sequence WHERE name = 'outbox'"));
  if (known >= number) return {};
  TRY(database.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'"));
  return database.execute(fmt::format("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', {})", number));
}

Result<void> forget(const Database& database, std::size_t keep_known) {
  TRY_ASSIGN(
      Statement statement,
      database.prepare("DELETE FROM outbox WHERE state IN ('posted', 'given up') AND number <= (SELECT number FROM outbox WHERE state "
                       "IN ('posted', 'given up') ORDER BY number DESC LIMIT 1 OFFSET ?1)"));
  return statement.bind(1, static_cast<std::int64_t>(keep_known)).run();
}

}  // namespace

struct Outbox::Parts {
  UniqueFd lock;
  Database database;
  std::string note;

  Result<std::vector<OutboxEntry>> entries(std::string_view rest, std::int64_t most, std::vector<std::int64_t>* unreadable) const {
    TRY_ASSIGN(Statement statement, database.prepare(fmt::format("SELECT {} FROM outbox {}", kColumns, rest)));
    statement.bind(1, most);
    std::vector<OutboxEntry> all;
    for (;;) {
      TRY_ASSIGN(const bool row, statement.step());
      if (!row) return all;
      if (auto entry = read_entry(statement))
        all.push_back(std::move(*entry));
      else if (unreadable)
        unreadable->push_back(statement.number(0));
    }
  }
};

Outbox::Outbox(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Outbox::Outbox(Outbox&&) noexcept = default;
Outbox& Outbox::operator=(Outbox&&) noexcept = default;
Outbox::~Outbox() = default;

const std::string& Outbox::note() const { return parts_->note; }

Result<Outbox> Outbox::open(const std::string& directory, std::size_t keep_known) {
  TRY_ASSIGN(const std::string absolute, absolute_path(directory));
  const Place place{absolute, kVariable};
  TRY(place.make());
  TRY_ASSIGN(UniqueFd lock, lock_outbox(place));
  TRY_ASSIGN(OpenedDatabase opened, open_database(place, absolute + "/outbox.db", kSchema));
  TRY(go_on_after(opened.database, largest_number(absolute)));
  TRY(forget(opened.database, keep_known));
  return Outbox(std::make_unique<Parts>(Parts{std::move(lock), std::move(opened.database), std::move(opened.note)}));
}

Result<std::optional<OutboxEntry>> Outbox::take(const Task& task, std::int64_t now_ms) {
  TRY_ASSIGN(Statement statement,
             parts_->database.prepare("INSERT OR IGNORE INTO outbox (key, state, task, taken_ms) VALUES (?1, ?2, ?3, ?4)"));
  TRY(statement.bind(1, task.key()).bind(2, word(State::taken)).bind(3, task_json(task)).bind(4, now_ms).run());
  if (parts_->database.changes() == 0) return std::nullopt;
  return OutboxEntry{.number = parts_->database.last_id(), .task = task, .taken_ms = now_ms};
}

Result<void> Outbox::change(const OutboxEntry& entry) {
  TRY_ASSIGN(Statement statement,
             parts_->database.prepare("UPDATE outbox SET state = ?2, grade = ?3, attempts = ?4, posts = ?5, next_post_ms = ?6, note = ?7 "
                                      "WHERE number = ?1"));
  statement.bind(1, entry.number).bind(2, word(entry.state));
  if (entry.grade && entry.state != State::posted)
    statement.bind(3, grade_json(*entry.grade));
  else
    statement.bind(3, std::nullopt);
  statement.bind(4, static_cast<std::int64_t>(entry.attempts)).bind(5, static_cast<std::int64_t>(entry.posts));
  statement.bind(6, entry.next_post_ms).bind(7, to_utf8(entry.note.substr(0, kMostNote)));
  TRY(statement.run());
  if (parts_->database.changes() == 0)
    return fail(ErrorCode::not_found,
                fmt::format("task {} ({}) is not in the outbox any more", entry.number, printable_name(entry.task.key())));
  return {};
}

Result<std::vector<OutboxEntry>> Outbox::open_entries() const {
  std::vector<std::int64_t> unreadable;
  TRY_ASSIGN(auto entries, parts_->entries("WHERE state NOT IN ('posted', 'given up') ORDER BY number LIMIT ?1", -1, &unreadable));
  for (const std::int64_t number : unreadable) {
    TRY_ASSIGN(Statement statement,
               parts_->database.prepare("UPDATE outbox SET state = 'given up', note = 'its record was damaged' WHERE number = ?1"));
    TRY(statement.bind(1, number).run());
  }
  return entries;
}

Result<std::vector<OutboxEntry>> Outbox::newest(std::size_t count) const {
  return parts_->entries("ORDER BY number DESC LIMIT ?1", static_cast<std::int64_t>(std::min<std::size_t>(count, 1u << 30)), nullptr);
}

}  // namespace casemate
