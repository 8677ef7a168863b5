#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "session/group.h"
#include "warm/group.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

std::vector<SelectedTest> tests_of(const std::vector<microseconds>& means) {
  std::vector<SelectedTest> tests;
  for (const microseconds mean : means) {
    SelectedTest& one = tests.emplace_back();
    one.test = {.id = "test_a.py::test_" + std::to_string(tests.size()), .file = "test_a.py"};
    one.parent = one.test.file;
    one.known = mean.count() >= 0;
    one.mean = mean;
  }
  return tests;
}

std::vector<std::size_t> sizes(std::deque<Unit> queue, const std::vector<SelectedTest>& tests, std::size_t slots, GroupBounds bounds = {}) {
  const microseconds time = group_time(queue, tests, slots, bounds);
  std::vector<std::size_t> found;
  for (;;) {
    const std::vector<Unit> group = take_group(queue, tests, time);
    if (group.empty()) return found;
    found.push_back(group.size());
  }
}

TEST(PytestGroups, what_takes_little_is_shared_out_evenly) {
  const auto tests = tests_of(std::vector<microseconds>(100, 4ms));  // and 6 of their own: 1 s
  EXPECT_EQ(sizes(make_units(tests), tests, 2), (std::vector<std::size_t>{50, 50}));
  EXPECT_EQ(sizes(make_units(tests), tests, 4), (std::vector<std::size_t>{25, 25, 25, 25}));
}

TEST(PytestGroups, what_takes_long_is_many_groups_of_about_two_seconds_in_full_rounds) {
  const auto tests = tests_of(std::vector<microseconds>(1000, 10ms));  // 16 s
  const auto groups = sizes(make_units(tests), tests, 3);              // three rounds
  EXPECT_EQ(groups.size(), 9u);
  for (const std::size_t size : groups) EXPECT_NEAR(static_cast<double>(size), 111, 2);
}

TEST(PytestGroups, a_group_has_at_least_one_test_and_none_is_left_over) {
  const auto tests = tests_of({60s, 30s, 1ms, 1ms, 1ms});
  const auto groups = sizes(make_units(tests), tests, 8);
  EXPECT_EQ(groups.front(), 1u);
  std::size_t all = 0;
  for (const std::size_t size : groups) all += size;
  EXPECT_EQ(all, 5u);
  EXPECT_TRUE(sizes({}, tests, 8).empty());
  EXPECT_GT(group_time(make_units(tests), tests, 0, {.most = 0s}), 0us);
}

TEST(PytestGroups, what_lasts_less_than_an_interpreters_start_is_one_group) {
  const auto tests = tests_of(std::vector<microseconds>(12, 4ms));
  EXPECT_EQ(sizes(make_units(tests), tests, 8, group_bounds(1s, std::nullopt)), (std::vector<std::size_t>{12}));
  const auto more = tests_of(std::vector<microseconds>(30, 94ms));  // 3 s
  EXPECT_EQ(sizes(make_units(more), more, 8, group_bounds(1s, std::nullopt)), (std::vector<std::size_t>{10, 10, 10}));
}

TEST(PytestGroups, a_group_lasts_as_long_as_its_interpreter_is_worth) {
  EXPECT_EQ(group_bounds(100ms, std::nullopt).most, 2s);
  EXPECT_EQ(group_bounds(1s, std::nullopt).most, 5s);
  EXPECT_EQ(group_bounds(60s, std::nullopt).most, 10s);
  EXPECT_EQ(group_bounds(60s, 3s).most, 3s);
  EXPECT_EQ(group_bounds(60s, 3s).least, 3s);
}

TEST(PytestGroups, a_test_without_a_past_counts_little) {
  const auto tests = tests_of({-1us, 30ms, 1s});
  const auto units = make_units(tests);
  EXPECT_EQ(expected_time(units[0], tests), expected_time(units[1], tests));
  EXPECT_GT(expected_time(units[2], tests), 20 * expected_time(units[0], tests));
}

TEST(PytestGroups, units_for_cells_alone_and_those_of_other_executors_stay) {
  auto tests = tests_of(std::vector<microseconds>(4, 1ms));
  tests[1].executor = 1;
  std::deque<Unit> queue = make_units(tests);
  queue[2].here = true;
  EXPECT_EQ(take_group(queue, tests, 10s).size(), 2u);
  ASSERT_EQ(queue.size(), 2u);
  EXPECT_EQ(take_group(queue, tests, 10s).front().tests, std::vector<std::size_t>{1});
  EXPECT_TRUE(take_group(queue, tests, 10s).empty());
  EXPECT_TRUE(queue.front().here);
}

std::vector<Unit> some_units(std::size_t count) {
  std::vector<Unit> units(count);
  for (std::size_t i = 0; i < count; ++i) units[i].tests = {i};
  return units;
}

TEST(PytestGroups, a_lost_group_is_halved_and_what_had_begun_is_alone) {
  const auto halves = split_group(some_units(5), std::nullopt);
  ASSERT_EQ(halves.size(), 2u);
  EXPECT_EQ(halves[0].size(), 2u);
  EXPECT_EQ(halves[1].size(), 3u);
  const auto alone = split_group(some_units(5), 3);
  EXPECT_EQ(alone[0].size(), 4u);
  ASSERT_EQ(alone[1].size(), 1u);
  EXPECT_EQ(alone[1][0].tests, std::vector<std::size_t>{3});
}

TEST(PytestGroups, an_order_names_files_once_and_what_units_may_use) {
  const std::string units = group_units({{.file = "a.py", .hash = "\"1f\"", .ids = {"a.py::x"}, .wall = 1500ms},
                                         {.file = "b.py", .cold = true, .ids = {"b.py::\xff"}},
                                         {.file = "a.py", .hash = "\"1f\"", .ids = {"a.py::y", "a.py::z"}},
                                         {.file = "a.py", .whole = true, .ids = {"a.py::w"}}});
  Job fork;
  fork.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .owned = true},
                 {.source = "/usr", .target = "/usr"},
                 {.kind = Mount::Kind::tmpfs, .target = "/scratch"},
                 {.kind = Mount::Kind::tmpfs, .target = "/tmp"}};
  fork.limits.pids = 7;
  const auto order = nlohmann::json::parse(group_order(units, fork, 1000));
  EXPECT_EQ(order["places"], nlohmann::json({"/work", "/scratch"}));
  EXPECT_EQ(order["pids"], 7);
  EXPECT_FALSE(order["network"]);
  ASSERT_EQ(order["files"].size(), 3u);
  EXPECT_EQ(order["files"][0]["file"], "a.py");
  EXPECT_EQ(order["files"][0]["hash"], "1f");
  EXPECT_EQ(order["files"][0]["units"][0]["wall"], 1.5);
  EXPECT_EQ(order["files"][0]["units"][1]["n"], 2);
  EXPECT_TRUE(order["files"][1]["cold"]);
  EXPECT_TRUE(order["files"][2]["file"].is_null());
}

TEST(PytestGroups, lines_of_a_group_are_read_and_nonsense_is_none) {
  EXPECT_EQ(std::get<GroupBegin>(read_group_line(R"({"unit": 3})")).unit, 3u);
  EXPECT_EQ(std::get<GroupPiece>(read_group_line(R"({"of": 3, "bytes": "a\u00ff\n\u00c2"})")).bytes, "a\xff\n\xc2");
  const auto over = std::get<GroupOver>(read_group_line(
      R"({"over": 4, "status": 11, "wall": 0.5, "user": 1e300, "rss": 4096, "left": [[7, "sl\u001beep"], "x"], "out": "o", "out_total": 9})"));
  EXPECT_EQ(over.resources.wall, 500ms);
  EXPECT_EQ(over.resources.user_cpu, 0ms);
  EXPECT_TRUE(over.output.truncated);
  ASSERT_EQ(over.leftovers.size(), 1u);
  EXPECT_EQ(over.leftovers[0].name.find('\x1b'), std::string::npos);
  EXPECT_TRUE(std::get<GroupApart>(read_group_line(R"({"apart": "cells", "note": ""})")).cells);
  for (const char* line : {"", "x", "[1]", R"({"report": {}})", R"({"item": "x"})", "{}"})
    EXPECT_TRUE(std::holds_alternative<std::monostate>(read_group_line(line))) << line;
}

std::string ended(const std::string& line) {
  Limits limits;
  limits.wall = 2s;
  limits.memory_bytes = 64 << 20;
  limits.pids = 5;
  const JobResult result = result_of(std::get<GroupOver>(read_group_line(line)), limits);
  return words(result.outcome) + (result.outcome.detail.empty() ? "" : "|" + result.outcome.detail);
}

TEST(PytestGroups, a_unit_ends_in_the_words_of_a_cell) {
  EXPECT_EQ(ended(R"({"over": 0, "status": 0})"), "exited 0");
  EXPECT_EQ(ended(R"({"over": 0, "status": 768})"), "exited 3");
  EXPECT_EQ(ended(R"({"over": 0, "status": 139})"), "signaled 11 (SIGSEGV)");
  EXPECT_EQ(ended(R"({"over": 0, "status": 9, "limit": "wall"})"), "timed out (wall time 2.00 s)|wall time 2.00 s");
  EXPECT_EQ(ended(R"({"over": 0, "status": 9, "limit": "memory"})"), "out of memory (limit 64.0 MiB)|limit 64.0 MiB");
  EXPECT_EQ(ended(R"({"over": 0, "status": 9, "limit": "pids"})"),
            "too many processes (limit 5, then signaled 9 (SIGKILL))|limit 5, then signaled 9 (SIGKILL)");
  EXPECT_EQ(ended(R"({"over": 0, "failed": ["fork", 11]})"), "setup failed (fork: EAGAIN)");
  EXPECT_EQ(ended(R"({"over": 0, "died": "a.py: signal 9"})"), "lost (a.py: signal 9)|a.py: signal 9");
  EXPECT_EQ(ended(R"({"over": 0})").substr(0, 4), "lost");
}

}  // namespace
}  // namespace casemate
