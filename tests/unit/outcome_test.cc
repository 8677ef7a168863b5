#include "casemate/outcome.h"

#include <cerrno>
#include <csignal>
#include <set>

#include <gtest/gtest.h>

namespace casemate {
namespace {

using Kind = Outcome::Kind;

constexpr Kind kAll[] = {Kind::exited,       Kind::signaled,   Kind::timed_out,    Kind::out_of_memory, Kind::too_many_processes,
                         Kind::output_limit, Kind::disk_limit, Kind::setup_failed, Kind::cancelled,     Kind::lost};

TEST(Outcome, every_kind_has_a_word_of_its_own_that_reads_back) {
  std::set<std::string_view> seen;
  for (const Kind kind : kAll) {
    EXPECT_TRUE(seen.insert(word(kind)).second) << word(kind);
    EXPECT_EQ(outcome_kind(word(kind)), kind) << word(kind);
  }
}

TEST(Outcome, changes_have_words) {
  EXPECT_EQ(word(Change::Kind::created), "created");
  EXPECT_EQ(word(Change::Kind::modified), "modified");
  EXPECT_EQ(word(Change::Kind::deleted), "deleted");
  EXPECT_EQ(word(Change::Type::file), "file");
  EXPECT_EQ(word(Change::Type::directory), "directory");
  EXPECT_EQ(word(Change::Type::symlink), "symlink");
  EXPECT_EQ(word(Change::Type::skipped), "skipped");
}

TEST(Outcome, other_words_are_none) {
  for (const char* text : {"", "Exited", "exited 0", "timed_out", "lost "}) EXPECT_EQ(outcome_kind(text), std::nullopt) << text;
}

TEST(Outcome, speaks_in_words) {
  EXPECT_EQ(words({.kind = Kind::exited, .code = 1}), "exited 1");
  EXPECT_EQ(words({.kind = Kind::signaled, .code = SIGSEGV}), "signaled 11 (SIGSEGV)");
  EXPECT_EQ(words({.kind = Kind::signaled, .code = SIGKILL}), "signaled 9 (SIGKILL)");
  EXPECT_EQ(words({.kind = Kind::timed_out}), "timed out");
  EXPECT_EQ(words({.kind = Kind::timed_out, .detail = "2 s of wall time"}), "timed out (2 s of wall time)");
  EXPECT_EQ(words({.kind = Kind::setup_failed, .code = EPERM, .step = "mount /proc"}), "setup failed (mount /proc: EPERM)");
}

TEST(Outcome, unknown_numbers_are_printed_as_numbers) {
  EXPECT_EQ(words({.kind = Kind::signaled, .code = 200}), "signaled 200");
  EXPECT_EQ(words({.kind = Kind::setup_failed, .step = "prepare", .detail = "no UTF-8"}), "setup failed (prepare: no UTF-8)");
  EXPECT_EQ(words({.kind = Kind::setup_failed, .step = "prepare"}), "setup failed (prepare)");
  EXPECT_EQ(words({.kind = Kind::setup_failed, .code = 99999, .step = "exec"}), "setup failed (exec: 99999)");
}

TEST(Outcome, only_exit_status_0_is_success) {
  for (const Kind kind : kAll) {
    EXPECT_EQ(Outcome({.kind = kind, .code = 0}).succeeded(), kind == Kind::exited) << word(kind);
    EXPECT_FALSE(Outcome({.kind = kind, .code = 1}).succeeded()) << word(kind);
  }
  EXPECT_FALSE(Outcome{}.succeeded());
}

}  // namespace
}  // namespace casemate
