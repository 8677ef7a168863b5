#include "store/history.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/database.h"
#include "store/spool.h"
#include "store/tree.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

RunRecord record(const std::string& name, std::int64_t started_ms = 1'700'000'000'000) {
  RunRecord record;
  record.started_ms = started_ms;
  record.front_end = "script";
  record.name = name;
  record.key = "key of " + name;
  record.outcome = "exited";
  record.code = 3;
  record.wall_us = 1500;
  record.cpu_us = 700;
  record.peak_memory_bytes = 1 << 20;
  record.details = R"({"a":[1,"x"]})";
  return record;
}

class HistoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-history-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    ::setenv("CASEMATE_STATE_DIR", name, 1);
  }
  void TearDown() override {
    ::unsetenv("CASEMATE_STATE_DIR");
    EXPECT_TRUE(remove_tree(directory_));
  }
  History open() {
    auto history = History::open(directory_);
    EXPECT_TRUE(history) << history.error().what;
    return std::move(*history);
  }
  std::set<std::string> names(const History& history) {
    std::set<std::string> all;
    const auto records = history.find({.limit = 100'000}).value();
    for (const RunRecord& found : records) EXPECT_TRUE(all.insert(found.name).second) << found.name << " twice";
    return all;
  }
  void append_to_spool(std::string_view bytes) { std::ofstream(directory_ + "/casemate.spool", std::ios::binary | std::ios::app) << bytes; }
  std::size_t count(const std::string& prefix) {
    std::size_t found = 0;
    for (const auto& entry : fs::directory_iterator(directory_)) found += entry.path().filename().string().starts_with(prefix) ? 1 : 0;
    return found;
  }

  std::string directory_;
};

TEST_F(HistoryTest, gives_back_what_it_was_given) {
  History history = open();
  EXPECT_EQ(history.note(), "");
  const std::int64_t id = history.add(record("first")).value();
  const RunRecord found = history.get(id).value().value();
  EXPECT_EQ(found.id, id);
  EXPECT_EQ(found.started_ms, 1'700'000'000'000);
  EXPECT_EQ(found.front_end, "script");
  EXPECT_EQ(found.name, "first");
  EXPECT_EQ(found.key, "key of first");
  EXPECT_EQ(found.outcome, "exited");
  EXPECT_EQ(found.code, 3);
  EXPECT_EQ(found.wall_us, 1500);
  EXPECT_EQ(found.cpu_us, 700);
  EXPECT_EQ(found.peak_memory_bytes, 1u << 20);
  EXPECT_EQ(found.details, R"({"a":[1,"x"]})");
  EXPECT_FALSE(history.get(id + 1).value());
  RunRecord bare;
  EXPECT_EQ(history.get(history.add(bare).value()).value()->peak_memory_bytes, std::nullopt);
}

TEST_F(HistoryTest, makes_texts_fit_to_show) {
  History history = open();
  RunRecord hostile = record("rm\n\x1b[31m -rf \xff" + std::string(5000, 'x'));
  hostile.details = "not JSON";
  const RunRecord found = history.get(history.add(hostile).value()).value().value();
  EXPECT_TRUE(found.name.starts_with("rm\\n\\x1b[31m -rf \\xffxxx")) << found.name;
  EXPECT_EQ(found.name.size(), 512u);
  EXPECT_EQ(found.details, "{}");
}

TEST_F(HistoryTest, finds_by_front_end_outcome_and_name_newest_first) {
  History history = open();
  for (int i = 0; i < 10; ++i) {
    RunRecord run = record("run " + std::to_string(i), 1000 + (i * 7) % 10);
    run.front_end = i % 2 ? "run" : "script";
    run.outcome = i < 3 ? "timed out" : "exited";
    ASSERT_TRUE(history.add(run));
  }
  EXPECT_EQ(history.find({.limit = 3}).value().size(), 3u);
  EXPECT_EQ(history.find({.front_end = "run"}).value().size(), 5u);
  EXPECT_EQ(history.find({.outcome = "timed out"}).value().size(), 3u);
  EXPECT_EQ(history.find({.front_end = "run", .outcome = "timed out"}).value().size(), 1u);
  EXPECT_EQ(history.find({.name_contains = "n 7"}).value().size(), 1u);
  EXPECT_EQ(history.find({.name_contains = "%"}).value().size(), 0u) << "a text, not a pattern";
  EXPECT_EQ(history.find({.limit = 0}).value().size(), 0u);
  std::int64_t before = 10'000;
  const auto all = history.find({}).value();
  for (const RunRecord& found : all) {
    EXPECT_LT(found.started_ms, before);
    before = found.started_ms;
  }
}

TEST_F(HistoryTest, expects_the_mean_of_the_last_three) {
  History history = open();
  EXPECT_EQ(history.expected_wall_us("k").value(), std::nullopt);
  for (const int wall : {1'000'000, 100, 200, 600}) {
    RunRecord run = record("x", 1000 + wall % 1000);
    run.started_ms = 1000 + (wall == 1'000'000 ? 0 : wall);
    run.key = "k";
    run.wall_us = wall;
    ASSERT_TRUE(history.add(run));
  }
  EXPECT_EQ(history.expected_wall_us("k").value(), 300);
  EXPECT_EQ(history.expected_wall_us("").value(), std::nullopt);
}

TEST_F(HistoryTest, prunes_the_old) {
  History history = open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(history.add(record(std::to_string(i), i)));
  EXPECT_EQ(history.prune(4).value(), 4);
  EXPECT_EQ(history.prune(4).value(), 0);
  EXPECT_EQ(history.find({}).value().size(), 6u);
}

TEST_F(HistoryTest, takes_in_ten_thousand_spooled_runs) {
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(spool_run(record("run " + std::to_string(i), i)));
  EXPECT_FALSE(fs::exists(directory_ + "/casemate.db"));
  History history = open();
  EXPECT_EQ(history.note(), "");
  EXPECT_EQ(names(history).size(), 10'000u);
  EXPECT_EQ(history.find({.limit = 1}).value().at(0).name, "run 9999");
  EXPECT_EQ(history.find({.name_contains = "run 77"}).value().size(), 20u);
  EXPECT_EQ(count("casemate.spool"), 0u);
}

TEST_F(HistoryTest, a_spool_line_is_bounded) {
  RunRecord large = record(std::string(5000, '"'));
  large.key = std::string(5000, '\\');
  large.details = "{\"x\":\"" + std::string(5000, 'y') + "\"}";
  ASSERT_TRUE(spool_run(large));
  EXPECT_LE(fs::file_size(directory_ + "/casemate.spool"), kSpoolLineLimit);
  const RunRecord found = open().find({}).value().at(0);
  EXPECT_EQ(found.name, std::string(512, '"'));
  EXPECT_EQ(found.details, R"({"truncated":true})");
}

TEST_F(HistoryTest, drops_torn_and_foreign_lines_only) {
  ASSERT_TRUE(spool_run(record("one")));
  append_to_spool("{\"id\":\"0123456789abcdef\",\"started");  // killed, or the disk was full
  ASSERT_TRUE(spool_run(record("two")));
  append_to_spool("[]\n{}\n\0\xff\n" + std::string(200'000, '[') + "\n");
  append_to_spool(to_spool_line({"../../etc/passwd", record("bad id")}) + "\n");
  ASSERT_TRUE(spool_run(record("three")));
  append_to_spool("{\"torn\":");
  EXPECT_EQ(names(open()), (std::set<std::string>{"one", "two", "three"}));
}

TEST_F(HistoryTest, a_spool_met_twice_adds_nothing) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(spool_run(record(std::to_string(i))));
  fs::copy_file(directory_ + "/casemate.spool", directory_ + "/casemate.spool.0123456789abcdef");  // its taker was killed before the unlink
  EXPECT_EQ(names(open()).size(), 5u);
  EXPECT_EQ(count("casemate.spool"), 0u);
}

TEST_F(HistoryTest, writers_and_openers_in_many_processes_lose_and_double_nothing) {
  constexpr int kWriters = 3, kEach = 200, kOpeners = 2;
  std::vector<pid_t> pids;
  for (int writer = 0; writer < kWriters; ++writer) {
    pids.push_back(::fork());
    if (pids.back() == 0) {
      for (int i = 0; i < kEach; ++i) {
        if (!spool_run(record(std::to_string(writer) + "." + std::to_string(i)))) ::_exit(1);
      }
      ::_exit(0);
    }
  }
  for (int opener = 0; opener < kOpeners; ++opener) {
    pids.push_back(::fork());
    if (pids.back() == 0) {
      for (int i = 0; i < 20; ++i) {
        if (!History::open(directory_)) ::_exit(1);
      }
      ::_exit(0);
    }
  }
  for (const pid_t pid : pids) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(names(open()).size(), static_cast<std::size_t>(kWriters * kEach));
}

TEST_F(HistoryTest, an_opener_killed_at_any_moment_loses_and_doubles_nothing) {
  std::mt19937 random(11);
  int spooled = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(spool_run(record(std::to_string(spooled++))));
    const pid_t pid = ::fork();
    if (pid == 0) {
      static_cast<void>(History::open(directory_));
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(random() % 12'000));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  History history = open();
  EXPECT_EQ(history.note(), "");
  EXPECT_EQ(names(history).size(), static_cast<std::size_t>(spooled));
}

TEST_F(HistoryTest, sets_a_damaged_database_aside) {
  {
    ASSERT_TRUE(open().add(record("lost")));
  }
  std::ofstream(directory_ + "/casemate.db", std::ios::trunc)
      << "this is no database, and longer than a header of SQLite, which has a hundred bytes or so....";
  ASSERT_TRUE(spool_run(record("kept")));
  History history = open();
  EXPECT_NE(history.note().find("damaged"), std::string::npos) << history.note();
  EXPECT_EQ(names(history), std::set<std::string>{"kept"});
  EXPECT_EQ(count("casemate.db.damaged-"), 1u);
  EXPECT_EQ(open().note(), "");
}

TEST_F(HistoryTest, sets_aside_a_database_with_a_page_of_garbage) {
  {
    History history = open();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(history.add(record("run " + std::to_string(i))));
  }
  const std::string path = directory_ + "/casemate.db";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096 * 4);
  file << std::string(4096 * 4, '\x5a');
  file.close();
  History history = open();
  EXPECT_NE(history.note(), "");
  EXPECT_TRUE(history.add(record("new")));
}

TEST_F(HistoryTest, sets_aside_the_database_of_another_program) {
  const std::string path = directory_ + "/casemate.db";
  ASSERT_TRUE(Database::open(path, "X").value().execute("CREATE TABLE recipes (a); INSERT INTO recipes VALUES (1)"));
  EXPECT_NE(open().note(), "");
  fs::remove(path);
  ASSERT_TRUE(Database::open(path, "X").value().execute("CREATE VIEW runs AS SELECT 1 AS a; PRAGMA user_version = 1"));
  EXPECT_NE(open().note(), "");
  EXPECT_TRUE(open().add(record("new")));
}

TEST_F(HistoryTest, refuses_a_newer_schema_and_leaves_it_alone) {
  const std::string path = directory_ + "/casemate.db";
  {
    ASSERT_TRUE(open().add(record("kept")));
  }
  ASSERT_TRUE(Database::open(path, "X").value().execute("PRAGMA user_version = 99"));
  auto refused = History::open(directory_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().what.find("newer casemate"), std::string::npos);
  EXPECT_EQ(Database::open(path, "X").value().number("SELECT count(*) FROM runs").value(), 1);
}

TEST_F(HistoryTest, says_which_variable_to_set) {
  std::ofstream(directory_ + "/file") << "";
  auto refused = History::open(directory_ + "/file/state");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("CASEMATE_STATE_DIR"), std::string::npos) << refused.error().what;
  ::setenv("CASEMATE_STATE_DIR", (directory_ + "/file/state").c_str(), 1);
  auto unspooled = spool_run(record("x"));
  ASSERT_FALSE(unspooled);
  EXPECT_NE(unspooled.error().what.find("CASEMATE_STATE_DIR"), std::string::npos) << unspooled.error().what;
}

TEST_F(HistoryTest, spooling_makes_the_directory) {
  const std::string deep = directory_ + "/a/b";
  ::setenv("CASEMATE_STATE_DIR", deep.c_str(), 1);
  ASSERT_TRUE(spool_run(record("x")));
  EXPECT_EQ(History::open().value().find({}).value().size(), 1u);
}

TEST(Spool, refuses_what_is_no_line) {
  const std::string good = to_spool_line({"0123456789abcdef", record("x")});
  EXPECT_TRUE(parse_spool_line(good));
  for (const std::string& bad :
       {std::string(), std::string("null"), std::string("{}"), good.substr(0, good.size() - 1), good + "x", std::string(4097, ' ')})
    EXPECT_FALSE(parse_spool_line(bad)) << bad;
  for (const auto& [from, to] : {std::pair{"\"code\":3", "\"code\":3000000000"},
                                 {"\"code\":3", "\"code\":\"3\""},
                                 {"\"wall_us\":1500", "\"wall_us\":-1"},
                                 {"\"wall_us\":1500", "\"wall_us\":18446744073709551615"},
                                 {"\"wall_us\":1500", "\"wall_us\":1.5"},
                                 {"0123456789abcdef", "0123456789ABCDEF"}}) {
    std::string bad = good;
    ASSERT_NE(bad.find(from), std::string::npos) << from;
    bad.replace(bad.find(from), std::string(from).size(), to);
    EXPECT_FALSE(parse_spool_line(bad)) << bad;
  }
}

}  // namespace
}  // namespace casemate
