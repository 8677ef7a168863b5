// What TestHistory tells. The file may have been changed by anybody: numbers may be any, texts too.
#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "store/test_history.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kRunColumns =
    "test_runs.id, directory, front_end, arguments, source, began_ms, took_us, counts, flaky, not_run, stopped_because, problem, "
    "exit_status";
constexpr std::string_view kResultColumns =
    "tests.node, test_containers.name, r.verdict, r.outcome, r.code, r.attempt, r.last, r.flaky, r.began_us, r.duration_us, r.cpu_us, "
    "r.peak_memory_bytes, r.slot, r.reason, r.leak";
constexpr std::string_view kResultTables =
    "test_results r JOIN tests ON tests.id = r.test JOIN test_containers ON test_containers.id = tests.container";
constexpr std::string_view kBad = "('failed', 'error', 'lost')";
// The mean of the last three durations; NULL if there are none. SQLite's arithmetic ignores what is no number.
constexpr std::string_view kMean =
    "(tests.duration_1 + coalesce(tests.duration_2, 0) + coalesce(tests.duration_3, 0)) / "
    "(1 + (tests.duration_2 IS NOT NULL) + (tests.duration_3 IS NOT NULL))";

std::int64_t limit_of(std::size_t limit) {
  return static_cast<std::int64_t>(std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max()));
}

TestRunRecord read_run(const Statement& row) {
  TestRunRecord run;
  run.id = row.number(0);
  run.project = row.text(1);
  run.front_end = row.text(2);
  if (const Json list = Json::parse(row.text(3), nullptr, false); list.is_array()) {
    for (const Json& argument : list) {
      if (argument.is_string()) run.arguments.push_back(argument.get<std::string>());
    }
  }
  run.source = row.text(4);
  run.began_ms = row.number(5);
  run.took_us = row.number(6);
  if (const Json counts = Json::parse(row.text(7), nullptr, false); counts.is_object()) {
    for (const auto& [word, number] : counts.items()) {
      if (number.is_number_integer()) run.counts[word] = number.get<std::int64_t>();
    }
  }
  run.flaky = row.number(8);
  run.not_run = row.number(9);
  run.stopped_because = row.text(10);
  run.problem = row.text(11);
  run.finished = !row.is_null(12);
  run.exit_status = static_cast<int>(row.number(12));
  return run;
}

// A row whose columns from `first` on are kResultColumns.
TestResultRecord read_result(const Statement& row, int first = 0) {
  TestResultRecord result;
  result.node = row.text(first);
  result.container = row.text(first + 1);
  result.verdict = row.text(first + 2);
  result.outcome = row.is_null(first + 3) ? "exited" : row.text(first + 3);
  result.code = static_cast<int>(row.number(first + 4));
  result.attempt = static_cast<std::uint32_t>(row.number(first + 5));
  result.last = row.number(first + 6) != 0;
  result.flaky = row.number(first + 7) != 0;
  result.began_us = row.number(first + 8);
  result.duration_us = row.number(first + 9);
  result.cpu_us = row.number(first + 10);
  if (!row.is_null(first + 11)) result.peak_memory_bytes = static_cast<std::uint64_t>(row.number(first + 11));
  result.slot = static_cast<std::uint32_t>(row.number(first + 12));
  result.reason = row.text(first + 13);
  result.leak = row.text(first + 14);
  return result;
}

template <class Read>
auto all(Statement& statement, const Read& read) -> Result<std::vector<decltype(read(statement))>> {
  std::vector<decltype(read(statement))> rows;
  for (;;) {
    TRY_ASSIGN(const bool row, statement.step());
    if (!row) return rows;
    rows.push_back(read(statement));
  }
}

}  // namespace

Result<std::unordered_map<std::string, TestTiming>> TestHistory::timings(const std::string& project,
                                                                         const std::optional<std::string>& container) const {
  TRY_ASSIGN(Statement statement,
             database_.prepare(fmt::format("SELECT tests.node, {}, tests.verdict IN {}, CASE WHEN tests.needs_others THEN "
                                           "(SELECT began_ms FROM test_runs WHERE id = tests.last_run) END FROM tests WHERE "
                                           "tests.project = (SELECT id FROM test_projects WHERE directory = ?1) AND "
                                           "(?2 IS NULL OR tests.container = (SELECT id FROM test_containers WHERE name = ?2))",
                                           kMean, kBad)));
  statement.bind(1, project);
  if (container)
    statement.bind(2, *container);
  else
    statement.bind(2, std::nullopt);
  std::unordered_map<std::string, TestTiming> timings;
  for (;;) {
    TRY_ASSIGN(const bool row, statement.step());
    if (!row) return timings;
    TestTiming& timing = timings[statement.text(0)];
    if (!statement.is_null(1)) timing.mean_us = std::max(timing.mean_us.value_or(0), statement.number(1));
    timing.failed = timing.failed || statement.number(2) != 0;
    if (!statement.is_null(3)) timing.needed_others_ms = std::max(timing.needed_others_ms.value_or(0), statement.number(3));
  }
}

Result<std::vector<TestRunRecord>> TestHistory::runs(const std::string& project, std::size_t limit) const {
  TRY_ASSIGN(Statement statement,
             database_.prepare(fmt::format("SELECT {} FROM test_runs JOIN test_projects ON test_projects.id = test_runs.project "
                                           "WHERE ?1 = '' OR directory = ?1 ORDER BY test_runs.id DESC LIMIT ?2",
                                           kRunColumns)));
  statement.bind(1, project).bind(2, limit_of(limit));
  return all(statement, read_run);
}

Result<std::optional<TestRunRecord>> TestHistory::last_run(const std::string& project) const {
  TRY_ASSIGN(auto newest, runs(project, 1));
  if (newest.empty()) return std::nullopt;
  return std::move(newest.front());
}

Result<std::vector<TestResultRecord>> TestHistory::results(std::int64_t run, bool only_bad) const {
  TRY_ASSIGN(Statement statement,
             database_.prepare(fmt::format("SELECT {} FROM {} WHERE r.run = ?1 {} ORDER BY r.number", kResultColumns, kResultTables,
                                           only_bad ? fmt::format("AND r.last AND r.verdict IN {}", kBad) : "")));
  statement.bind(1, run);
  return all(statement, [](const Statement& row) { return read_result(row); });
}

Result<std::vector<TestMoment>> TestHistory::trend(const std::string& project, const std::string& node, std::size_t limit) const {
  // CROSS JOIN keeps the order: each kept run, newest first, and in it one seek for each of the test's rows.
  TRY_ASSIGN(Statement statement,
             database_.prepare(fmt::format(
                 "SELECT test_runs.id, test_runs.began_ms, {} FROM test_runs CROSS JOIN tests CROSS JOIN test_results r ON "
                 "r.run = test_runs.id AND r.test = tests.id AND r.last JOIN test_containers ON test_containers.id = tests.container WHERE "
                 "test_runs.project = (SELECT id FROM test_projects WHERE directory = ?1) AND tests.project = test_runs.project AND "
                 "tests.node = ?2 AND tests.container IN (SELECT id FROM test_containers) "
                 "ORDER BY test_runs.id DESC, r.number DESC LIMIT ?3",
                 kResultColumns)));
  statement.bind(1, project).bind(2, node).bind(3, limit_of(limit));
  return all(statement, [](const Statement& row) { return TestMoment{row.number(0), row.number(1), read_result(row, 2)}; });
}

// `condition` and `order` speak of the columns below.
Result<std::vector<TestSummary>> TestHistory::summaries(const std::string& project, const std::string& condition, const std::string& order,
                                                        std::size_t limit) const {
  TRY_ASSIGN(Statement statement,
             database_.prepare(fmt::format(
                 // What one source (or, where it is not known, one run) said of a test
                 "WITH project AS (SELECT id FROM test_projects WHERE directory = ?1), "
                 "chosen AS (SELECT id FROM tests WHERE project = (SELECT id FROM project) AND {0}), "
                 "said AS (SELECT r.test AS test, count(DISTINCT CASE WHEN r.last THEN r.run END) AS runs, "
                 "sum(r.verdict IN {1}) AS failed, sum(r.verdict = 'passed') AS passed, sum(r.flaky) AS flagged, "
                 "max(r.duration_us) AS longest FROM test_runs CROSS JOIN test_results r ON r.run = test_runs.id "
                 "WHERE test_runs.project = (SELECT id FROM project) AND r.test IN (SELECT id FROM chosen) AND "
                 "r.verdict NOT IN ('skipped', 'ignored', 'cancelled') "
                 "GROUP BY r.test, CASE WHEN test_runs.source = '' THEN test_runs.id ELSE test_runs.source END), "
                 "told AS (SELECT test, sum(runs) AS runs, sum(failed) AS failed, max(longest) AS longest, "
                 "sum(max(flagged, failed > 0 AND passed > 0)) AS flaky FROM said GROUP BY test) "
                 "SELECT tests.node, test_containers.name, told.runs, told.failed, told.flaky, {2} AS mean, told.longest, tests.verdict "
                 "FROM told JOIN tests ON tests.id = told.test JOIN test_containers ON test_containers.id = tests.container {3} LIMIT ?2",
                 condition, kBad, kMean, order)));
  statement.bind(1, project).bind(2, limit_of(limit));
  return all(statement, [](const Statement& row) {
    return TestSummary{row.text(0), row.text(1), row.number(2), row.number(3), row.number(4), row.number(5), row.number(6), row.text(7)};
  });
}

Result<std::vector<TestSummary>> TestHistory::flaky(const std::string& project, std::size_t limit) const {
  return summaries(project, "1", "WHERE told.flaky > 0 ORDER BY told.flaky DESC, told.failed DESC, tests.node", limit);
}

Result<std::vector<TestSummary>> TestHistory::slowest(const std::string& project, std::size_t limit) const {
  return summaries(project,
                   fmt::format("duration_1 IS NOT NULL AND id IN (SELECT id FROM tests WHERE project = (SELECT id FROM project) "
                               "AND duration_1 IS NOT NULL ORDER BY {} DESC LIMIT ?2)",
                               kMean),
                   "ORDER BY mean DESC, tests.node", limit);
}

Result<std::vector<TestSummary>> TestHistory::failing(const std::string& project, std::size_t limit) const {
  return summaries(project, fmt::format("verdict IN {}", kBad), "ORDER BY tests.node", limit);
}

Result<std::vector<std::string>> TestHistory::projects() const {
  TRY_ASSIGN(Statement statement, database_.prepare("SELECT directory FROM test_projects ORDER BY directory"));
  return all(statement, [](const Statement& row) { return row.text(0); });
}

}  // namespace casemate
