#include "apps/agent/outbox.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch_directory.h"
#include "store/database.h"
#include "sys/fd.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using State = OutboxEntry::State;

Task task(std::int64_t attempt) {
  return {.attempt = attempt,
          .repository_url = "https://host/a.git",
          .branch = "feature/x",
          .laboratories = {1, 2},
          .connected_tests = {"test_a", "test b"}};
}

Grade grade() {
  Grade grade;
  grade.duration_text = "1.5";
  grade.any_unexpected = true;
  grade.cases.push_back(
      {.name = "m::t", .verdict = CaseGrade::Verdict::failed, .description = "why", .duration_text = "0.5", .memory_kib = 9});
  return grade;
}

class OutboxTest : public ScratchDirectory {
 protected:
  Outbox open(std::size_t keep_known = 100'000) {
    auto outbox = Outbox::open(directory_, keep_known);
    EXPECT_TRUE(outbox) << outbox.error().what;
    return std::move(*outbox);
  }
  void sql(const std::string& text) {
    const auto database = Database::open(directory_ + "/outbox.db", "--state-dir");
    ASSERT_TRUE(database);
    const auto done = database->execute(text);
    ASSERT_TRUE(done) << done.error().what;
  }
};

TEST_F(OutboxTest, gives_back_what_it_was_given_after_a_restart_too) {
  {
    Outbox outbox = open();
    EXPECT_EQ(outbox.note(), "");
    OutboxEntry entry = outbox.take(task(21), 1000).value().value();
    EXPECT_EQ(entry.number, 1);
    EXPECT_EQ(entry.state, State::taken);
    entry.state = State::finished;
    entry.grade = grade();
    entry.attempts = 2;
    entry.posts = 3;
    entry.next_post_ms = 5000;
    entry.note = "a note";
    ASSERT_TRUE(outbox.change(entry));
  }
  const Outbox outbox = open();
  const auto entries = outbox.open_entries().value();
  ASSERT_EQ(entries.size(), 1u);
  const OutboxEntry& entry = entries[0];
  EXPECT_EQ(entry.number, 1);
  EXPECT_EQ(entry.state, State::finished);
  EXPECT_EQ(entry.task.key(), "attempt 21");
  EXPECT_EQ(entry.task.branch, "feature/x");
  EXPECT_EQ(entry.task.connected_tests, task(21).connected_tests);
  ASSERT_TRUE(entry.grade);
  EXPECT_EQ(grade_json(*entry.grade), grade_json(grade()));
  EXPECT_EQ(entry.attempts, 2u);
  EXPECT_EQ(entry.posts, 3u);
  EXPECT_EQ(entry.taken_ms, 1000);
  EXPECT_EQ(entry.next_post_ms, 5000);
  EXPECT_EQ(entry.note, "a note");
}

TEST_F(OutboxTest, a_key_is_taken_once_whatever_became_of_it) {
  Outbox outbox = open();
  OutboxEntry entry = outbox.take(task(21), 0).value().value();
  EXPECT_FALSE(outbox.take(task(21), 0).value());
  Task other = task(0);
  other.form = WireForm::uuid;
  other.id = "21";
  EXPECT_TRUE(outbox.take(other, 0).value());
  for (const State state : {State::finished, State::posting, State::posted, State::given_up}) {
    entry.state = state;
    ASSERT_TRUE(outbox.change(entry));
    EXPECT_FALSE(outbox.take(task(21), 0).value());
  }
}

TEST_F(OutboxTest, open_entries_are_those_with_something_to_do_oldest_first) {
  Outbox outbox = open();
  for (const State state : {State::posted, State::taken, State::finished, State::given_up, State::posting}) {
    OutboxEntry entry = outbox.take(task(static_cast<int>(state)), 0).value().value();
    entry.state = state;
    entry.grade = grade();
    ASSERT_TRUE(outbox.change(entry));
  }
  std::vector<State> states;
  const auto entries = outbox.open_entries().value();
  for (const OutboxEntry& entry : entries) states.push_back(entry.state);
  EXPECT_EQ(states, (std::vector{State::taken, State::finished, State::posting}));
  const auto newest = outbox.newest(2).value();
  ASSERT_EQ(newest.size(), 2u);
  EXPECT_EQ(newest[0].state, State::posting);
  EXPECT_EQ(newest[1].state, State::given_up);
  EXPECT_FALSE(outbox.newest(10).value()[4].grade) << "the grade of what is posted is of no use";
}

TEST_F(OutboxTest, only_the_newest_that_are_done_are_remembered) {
  {
    Outbox outbox = open();
    for (int i = 1; i <= 6; ++i) {
      OutboxEntry entry = outbox.take(task(i), 0).value().value();
      entry.state = i == 1 ? State::taken : i % 2 ? State::posted : State::given_up;
      ASSERT_TRUE(outbox.change(entry));
    }
  }
  Outbox outbox = open(2);
  std::set<std::int64_t> known;
  const auto entries = outbox.newest(10).value();
  for (const OutboxEntry& entry : entries) known.insert(entry.task.attempt);
  EXPECT_EQ(known, (std::set<std::int64_t>{1, 5, 6}));
  EXPECT_EQ(outbox.take(task(2), 0).value().value().number, 7) << "numbers are not given twice";
}

TEST_F(OutboxTest, a_second_opener_is_refused_with_a_line_that_helps) {
  std::optional<Outbox> first = open();
  const auto second = Outbox::open(directory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::refused);
  EXPECT_EQ(second.error().what,
            "another agent is at work in " + directory_ + ": stop that one, or give this one a directory of its own with --state-dir");
  first.reset();
  EXPECT_TRUE(Outbox::open(directory_));
}

TEST_F(OutboxTest, a_damaged_file_is_set_aside_and_numbers_go_on) {
  {
    Outbox outbox = open();
    ASSERT_TRUE(outbox.take(task(1), 0).value());
  }
  for (const char* suffix : {"-wal", "-shm"}) ::unlink((directory_ + "/outbox.db" + suffix).c_str());
  std::ofstream(directory_ + "/outbox.db", std::ios::binary) << std::string(8192, 'x');
  fs::create_directories(directory_ + "/tasks/41");
  fs::create_directories(directory_ + "/tasks/x99");
  fs::create_directories(directory_ + "/tasks/9223372036854775807");
  Outbox outbox = open();
  EXPECT_NE(outbox.note().find("the outbox was damaged"), std::string::npos) << outbox.note();
  EXPECT_NE(outbox.note().find(".damaged-"), std::string::npos) << outbox.note();
  EXPECT_EQ(outbox.take(task(1), 0).value().value().number, 42);
}

TEST_F(OutboxTest, records_that_somebody_damaged_cost_no_other) {
  {
    Outbox outbox = open();
    for (int i = 1; i <= 5; ++i) {
      OutboxEntry entry = outbox.take(task(i), 0).value().value();
      entry.state = State::finished;
      entry.grade = grade();
      ASSERT_TRUE(outbox.change(entry));
    }
  }
  sql("UPDATE outbox SET task = '{' WHERE number = 1; UPDATE outbox SET grade = 'x' WHERE number = 2;"
      "UPDATE outbox SET state = 'odd' WHERE number = 3; UPDATE outbox SET attempts = -5, posts = 99999999999 WHERE number = 4");
  Outbox outbox = open();
  for (int i = 0; i < 2; ++i) {
    const auto entries = outbox.open_entries().value();
    ASSERT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[0].number, 2);
    EXPECT_EQ(entries[0].state, State::taken) << "run again";
    EXPECT_EQ(entries[1].attempts, 0u);
    EXPECT_EQ(entries[1].posts, 1'000'000u);
    EXPECT_TRUE(entries[2].grade);
  }
}

TEST_F(OutboxTest, a_newer_schema_is_refused) {
  {
    Outbox outbox = open();
  }
  sql("PRAGMA user_version = 99");
  const auto refused = Outbox::open(directory_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().what.find("--state-dir"), std::string::npos) << refused.error().what;
}

TEST_F(OutboxTest, an_entry_that_is_gone_is_told) {
  Outbox outbox = open();
  const auto changed = outbox.change({.number = 7, .task = task(1)});
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, ErrorCode::not_found);
}

TEST_F(OutboxTest, what_it_keeps_is_for_nobody_else) {
  const std::string inside = directory_ + "/agent";
  ASSERT_TRUE(Outbox::open(inside));
  struct stat info{};
  ASSERT_EQ(::stat(inside.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0077, 0u);
}

// A child takes tasks and leads them through all states, and writes each step that has returned to a pipe; it is killed somewhere. What it
// said has to be there; one step more may be.
TEST_F(OutboxTest, killed_at_any_moment_it_has_what_it_said_that_it_had) {
  {
    Outbox outbox = open();
  }
  constexpr State kSteps[] = {State::taken, State::finished, State::posting, State::posted};
  std::int64_t next = 1;
  for (int round = 0; round < 12; ++round) {
    Pipe pipe = make_pipe().value();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto outbox = Outbox::open(directory_);
      if (!outbox) ::_exit(1);
      for (std::int64_t number = next;; ++number) {
        auto taken = outbox->take(task(number), 0);
        if (!taken || !*taken) ::_exit(2);
        OutboxEntry entry = **taken;
        for (const State state : kSteps) {
          entry.state = state;
          entry.grade = grade();
          if (state != State::taken && !outbox->change(entry)) ::_exit(3);
          const std::int64_t said[] = {number, static_cast<std::int64_t>(state)};
          if (::write(pipe.write.get(), said, sizeof said) != sizeof said) ::_exit(4);
        }
      }
    }
    pipe.write.reset();
    std::int64_t said[2] = {0, 0};
    const int steps = 1 + (round * 7) % 23;
    for (int i = 0; i < steps; ++i) ASSERT_EQ(::read(pipe.read.get(), said, sizeof said), static_cast<ssize_t>(sizeof said));
    ::usleep(static_cast<useconds_t>(round * 137));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    while (::read(pipe.read.get(), said, sizeof said) == static_cast<ssize_t>(sizeof said)) continue;

    Outbox outbox = open();
    ASSERT_EQ(outbox.note(), "");
    std::map<std::int64_t, State> states;
    const auto entries = outbox.newest(1'000'000).value();
    for (const OutboxEntry& entry : entries) {
      EXPECT_TRUE(states.emplace(entry.task.attempt, entry.state).second) << "twice";
      EXPECT_EQ(entry.grade.has_value(), entry.state == State::finished || entry.state == State::posting);
    }
    for (std::int64_t number = next; number < said[0]; ++number) EXPECT_EQ(states.at(number), State::posted);
    EXPECT_GE(static_cast<int>(states.at(said[0])), static_cast<int>(said[1]));
    EXPECT_LE(states.rbegin()->first, said[0] + 1);
    EXPECT_LE(outbox.open_entries().value().size(), 2u + static_cast<std::size_t>(round));
    next = states.rbegin()->first + 1;
  }
}

}  // namespace
}  // namespace casemate
