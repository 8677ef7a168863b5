#include "store/test_history.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "store/history_database.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kArgumentBytes = 8192, kLineBytes = 1000, kReasonBytes = 500, kLeakBytes = 200;

// A test's row, with the last three durations moved on if it came to an end (?6), and its last verdict unless it did not run (?5 is null).
constexpr std::string_view kTouch =
    "UPDATE tests SET last_run = ?4, verdict = coalesce(?5, verdict), needs_others = CASE WHEN ?5 IS NULL THEN needs_others ELSE ?7 END, "
    "duration_3 = CASE WHEN ?6 IS NULL THEN duration_3 ELSE duration_2 END, "
    "duration_2 = CASE WHEN ?6 IS NULL THEN duration_2 ELSE duration_1 END, duration_1 = coalesce(?6, duration_1) "
    "WHERE project = ?1 AND container = ?2 AND node = ?3 RETURNING id";
constexpr std::string_view kNewTest =
    "INSERT INTO tests (project, container, node, id, last_run, verdict, duration_1, needs_others) "
    "VALUES (?1, ?2, ?3, (SELECT coalesce(max(id), 0) + 1 FROM tests), ?4, coalesce(?5, ''), ?6, ?7) RETURNING id";
constexpr std::string_view kInsert =
    "INSERT INTO test_results (run, test, number, attempt, verdict, outcome, code, began_us, duration_us, cpu_us, peak_memory_bytes, "
    "slot, last, flaky, reason, leak) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

// At most `most` bytes, cut before the beginning of a character.
std::string_view cut(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  return text.substr(0, most);
}

std::string arguments_json(const std::vector<std::string>& arguments) {
  Json list = Json::array();
  std::size_t room = kArgumentBytes;
  for (const std::string& argument : arguments) {
    const std::string_view kept = cut(argument, room);
    list.push_back(kept);
    room -= kept.size();
    if (kept.size() < argument.size() || room == 0) break;
  }
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool has_duration(std::string_view verdict) {
  return verdict == "passed" || verdict == "failed" || verdict == "xfailed" || verdict == "xpassed";
}
bool did_run(std::string_view verdict) { return verdict != "ignored" && verdict != "cancelled"; }

void bind_text_or_null(Statement& statement, int index, std::string_view text) {
  if (text.empty())
    statement.bind(index, std::nullopt);
  else
    statement.bind(index, text);
}

void bind_result(Statement& statement, const TestResultRecord& result) {
  statement.bind(4, std::int64_t{result.attempt}).bind(5, result.verdict);
  bind_text_or_null(statement, 6, result.outcome == "exited" ? "" : result.outcome);  // nearly all of them
  statement.bind(7, std::int64_t{result.code}).bind(8, result.began_us).bind(9, result.duration_us).bind(10, result.cpu_us);
  if (result.peak_memory_bytes)
    statement.bind(11, static_cast<std::int64_t>(*result.peak_memory_bytes));
  else
    statement.bind(11, std::nullopt);
  statement.bind(12, std::int64_t{result.slot}).bind(13, std::int64_t{result.last}).bind(14, std::int64_t{result.flaky});
  bind_text_or_null(statement, 15, cut(result.reason, kReasonBytes));
  bind_text_or_null(statement, 16, cut(result.leak, kLeakBytes));
}

void bind_touch(Statement& statement, const TestResultRecord& result) {
  const bool counts = result.last && did_run(result.verdict);
  bind_text_or_null(statement, 5, counts ? std::string_view(result.verdict) : "");
  if (counts && !result.cached && has_duration(result.verdict))
    statement.bind(6, result.duration_us);
  else
    statement.bind(6, std::nullopt);
  statement.bind(7, std::int64_t{result.needs_others});
}

// Runs a statement that has one row at most, and makes it ready again: its first column.
Result<std::optional<std::int64_t>> ask(Statement& statement) {
  auto row = statement.step();
  std::optional<std::int64_t> number;
  if (row && *row) number = statement.number(0);
  statement.reset();
  if (!row) return std::unexpected(std::move(row).error());
  return number;
}

// Runs `body` as one transaction, which begins with the right to write.
template <class Body>
Result<void> transaction(const Database& database, const Body& body) {
  TRY(database.execute("BEGIN IMMEDIATE"));
  Result<void> done = body();
  if (done) done = database.execute("COMMIT");
  if (!done) static_cast<void>(database.execute("ROLLBACK"));  // after a failed COMMIT there may be none left
  return done;
}

}  // namespace

Result<TestHistory> TestHistory::open(std::string directory) {
  TRY_ASSIGN(OpenedHistory opened, open_history_database(std::move(directory)));
  // 100,000 tests are some 30 MB of pages, met in any order: SQLite's 2 MB would read each of them many times.
  TRY(opened.database.execute("PRAGMA cache_size = -65536"));
  return TestHistory(std::move(opened.database), std::move(opened.note));
}

Result<std::int64_t> TestHistory::id_of(const char* table, const char* column, const std::string& value) {
  TRY_ASSIGN(Statement find, database_.prepare(fmt::format("SELECT id FROM {} WHERE {} = ?1", table, column)));
  TRY_ASSIGN(const bool there, find.bind(1, value).step());
  if (there) return find.number(0);
  TRY_ASSIGN(Statement insert, database_.prepare(fmt::format("INSERT INTO {} ({}) VALUES (?1)", table, column)));
  TRY(insert.bind(1, value).run());
  return database_.last_id();
}

Result<std::int64_t> TestHistory::begin(const TestRunRecord& run) {
  std::int64_t id = 0;
  TRY(transaction(database_, [&]() -> Result<void> {
    TRY_ASSIGN(const std::int64_t project, id_of("test_projects", "directory", run.project));
    TRY_ASSIGN(Statement insert, database_.prepare("INSERT INTO test_runs (project, front_end, arguments, source, began_ms) "
                                                   "VALUES (?1, ?2, ?3, ?4, ?5)"));
    insert.bind(1, project).bind(2, cut(run.front_end, 64)).bind(3, arguments_json(run.arguments));
    TRY(insert.bind(4, cut(run.source, 256)).bind(5, run.began_ms).run());
    id = database_.last_id();
    return {};
  }));
  return id;
}

Result<void> TestHistory::add(std::int64_t run, std::span<const TestResultRecord> results) {
  if (results.empty()) return {};
  return transaction(database_, [&]() -> Result<void> {
    TRY_ASSIGN(Statement find, database_.prepare("SELECT project FROM test_runs WHERE id = ?1"));
    TRY_ASSIGN(const bool there, find.bind(1, run).step());
    if (!there) return fail(ErrorCode::not_found, fmt::format("the history has no run {} any more: it was pruned", run));
    return add_all(run, find.number(0), results);
  });
}

Result<void> TestHistory::add_all(std::int64_t run, std::int64_t project, std::span<const TestResultRecord> results) {
  TRY_ASSIGN(Statement counter, database_.prepare("UPDATE test_runs SET results = results + ?2 WHERE id = ?1 RETURNING results - ?2"));
  counter.bind(1, run).bind(2, static_cast<std::int64_t>(results.size()));
  TRY_ASSIGN(const auto before, ask(counter));
  std::int64_t number = before.value_or(0);
  TRY_ASSIGN(Statement touch, database_.prepare(kTouch));
  TRY_ASSIGN(Statement make, database_.prepare(kNewTest));
  TRY_ASSIGN(Statement insert, database_.prepare(kInsert));
  std::map<std::string, std::int64_t> containers;
  for (const TestResultRecord& result : results) {
    ++number;
    if (result.node.size() > kLongestNode) continue;
    const auto [container, is_new] = containers.try_emplace(result.container, 0);
    if (is_new) {
      TRY_ASSIGN(container->second, id_of("test_containers", "name", result.container));
    }
    const auto find = [&](Statement& statement) {
      statement.bind(1, project).bind(2, container->second).bind(3, result.node).bind(4, run);
      bind_touch(statement, result);
      return ask(statement);
    };
    TRY_ASSIGN(auto test, find(touch));
    if (!test) {
      TRY_ASSIGN(test, find(make));
    }
    insert.bind(1, run).bind(2, test.value_or(0)).bind(3, number);
    bind_result(insert, result);
    TRY(insert.run());
  }
  return {};
}

Result<void> TestHistory::finish(const TestRunRecord& run, const TestHistoryBounds& bounds) {
  return transaction(database_, [&]() -> Result<void> {
    TRY_ASSIGN(Statement update, database_.prepare("UPDATE test_runs SET took_us = ?2, counts = ?3, flaky = ?4, not_run = ?5, "
                                                   "stopped_because = ?6, problem = ?7, exit_status = ?8, source = ?9 WHERE id = ?1"));
    const std::string counts = Json(run.counts).dump(-1, ' ', false, Json::error_handler_t::replace);
    update.bind(1, run.id).bind(2, run.took_us).bind(3, counts).bind(4, run.flaky).bind(5, run.not_run);
    update.bind(6, cut(run.stopped_because, kLineBytes)).bind(7, cut(run.problem, kLineBytes));
    TRY(update.bind(8, std::int64_t{run.exit_status}).bind(9, cut(run.source, 256)).run());
    TRY_ASSIGN(Statement find, database_.prepare("SELECT project FROM test_runs WHERE id = ?1"));
    TRY_ASSIGN(const bool there, find.bind(1, run.id).step());
    if (!there) return {};  // pruned meanwhile
    // A run is past the bounds by its place from the newest, or by the results that lie before it.
    TRY(
        remove_runs(fmt::format("SELECT id FROM (SELECT id, row_number() OVER newest AS place, sum(results) OVER newest AS sum "
                                "FROM test_runs WHERE project = {} WINDOW newest AS (ORDER BY id DESC)) "
                                "WHERE place > {} OR (place > 2 AND sum > {})",
                                find.number(0), std::max<std::int64_t>(bounds.runs, 1), bounds.results)));
    return {};
  });
}

// `which` is a SELECT of ids. Within a transaction. How many there were.
Result<std::int64_t> TestHistory::remove_runs(const std::string& which) {
  std::vector<std::int64_t> ids;
  {
    TRY_ASSIGN(Statement statement, database_.prepare(which));
    for (;;) {
      TRY_ASSIGN(const bool row, statement.step());
      if (!row) break;
      ids.push_back(statement.number(0));
    }
  }
  if (ids.empty()) return 0;
  const std::string list = fmt::format("({})", fmt::join(ids, ","));
  TRY(
      database_.execute(fmt::format("DELETE FROM test_results WHERE run IN {0}; DELETE FROM test_runs WHERE id IN {0};"
                                    "DELETE FROM tests WHERE last_run IN {0};"
                                    "DELETE FROM test_projects WHERE id NOT IN (SELECT project FROM test_runs)",
                                    list)));
  return static_cast<std::int64_t>(ids.size());
}

Result<std::int64_t> TestHistory::prune(std::int64_t before_ms) {
  std::int64_t removed = 0;
  TRY(transaction(database_, [&]() -> Result<void> {
    TRY_ASSIGN(removed, remove_runs(fmt::format("SELECT id FROM test_runs WHERE began_ms < {}", before_ms)));
    return {};
  }));
  if (removed > 0) TRY(database_.execute("PRAGMA incremental_vacuum"));
  return removed;
}

}  // namespace casemate
