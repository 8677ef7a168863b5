// What becomes of a result, for each answer that a backend can give to it. Nothing is sent: the test plays the courier.
#include "apps/agent/posting.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "scratch_directory.h"

namespace casemate {
namespace {

using State = OutboxEntry::State;
using Answer = std::expected<std::optional<bool>, BackendFailure>;

class PostingTest : public ScratchDirectory {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ScratchDirectory::SetUp());
    outbox_.emplace(Outbox::open(directory_).value());
    log_.emplace(Log::open(directory_ + "/log", LogLevel::debug, false).value());
    posting_.emplace(settings_, *outbox_, *log_, metrics_);
  }
  void TearDown() override {
    outbox_.reset();
    ScratchDirectory::TearDown();
  }
  OutboxEntry finished(std::int64_t attempt, State state = State::finished) {
    OutboxEntry entry = outbox_->take({.attempt = attempt, .repository_url = "https://host/a.git", .branch = "main"}, 0).value().value();
    entry.state = state;
    entry.grade = grade_of_error("of attempt " + std::to_string(attempt));
    EXPECT_TRUE(outbox_->change(entry));
    return entry;
  }
  State state_of(std::int64_t number) {
    const auto entries = outbox_->newest(100).value();
    for (const OutboxEntry& entry : entries) {
      if (entry.number == number) return entry.state;
    }
    ADD_FAILURE() << "no entry " << number;
    return State::taken;
  }
  // The errand that is due, and the answer to it.
  Errand::Kind answer(std::int64_t now, PostOutcome outcome, const Answer& asked = std::optional<bool>()) {
    const auto errand = posting_->next(now).value();
    EXPECT_TRUE(errand) << "nothing is due";
    if (!errand) return Errand::Kind::take;
    if (posting_->waiting() == 1) EXPECT_FALSE(posting_->next(now + 1'000'000).value()) << "it is under way";
    EXPECT_TRUE(posting_->ended({.kind = errand->kind, .number = errand->number, .posted = std::move(outcome), .asked = asked}, now));
    return errand->kind;
  }
  Errand::Kind answer(std::int64_t now, PostOutcome::Kind kind) { return answer(now, {kind, "as the test says"}); }
  Errand::Kind asked(std::int64_t now, const Answer& is_there) { return answer(now, {}, is_there); }

  AgentSettings settings_;
  Metrics metrics_;
  std::optional<Outbox> outbox_;
  std::optional<Log> log_;
  std::optional<Posting> posting_;
};

constexpr auto kPost = Errand::Kind::post;
constexpr auto kAsk = Errand::Kind::ask;
using Kind = PostOutcome::Kind;
const auto kUnreachable = std::unexpected(BackendFailure{.what = "nobody is there"});

TEST_F(PostingTest, a_result_that_is_taken_is_posted) {
  EXPECT_FALSE(posting_->next(0).value());
  EXPECT_FALSE(posting_->due_ms());
  posting_->add(finished(21));
  EXPECT_EQ(posting_->waiting(), 1u);
  const auto errand = posting_->next(0).value();
  ASSERT_TRUE(errand);
  EXPECT_EQ(errand->kind, kPost);
  EXPECT_EQ(nlohmann::json::parse(errand->body)["testResults"]["errorDetails"], "of attempt 21");
  EXPECT_EQ(state_of(1), State::posting) << "on disk before it is sent";
  ASSERT_TRUE(posting_->ended({.kind = kPost, .number = 1, .posted = {Kind::accepted, ""}}, 0));
  EXPECT_EQ(state_of(1), State::posted);
  EXPECT_EQ(posting_->waiting(), 0u);
  EXPECT_EQ(posting_->posted(), 1u);
}

TEST_F(PostingTest, one_that_is_refused_is_given_up_with_the_reason) {
  posting_->add(finished(21));
  EXPECT_EQ(answer(0, Kind::refused), kPost);
  EXPECT_EQ(state_of(1), State::given_up);
  EXPECT_EQ(outbox_->newest(1).value()[0].note, "as the test says");
  EXPECT_EQ(posting_->given_up(), 1u);
  EXPECT_FALSE(posting_->due_ms());
}

TEST_F(PostingTest, one_that_was_not_taken_is_posted_again_later_and_later) {
  posting_->add(finished(21));
  std::int64_t now = 0;
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(answer(now, Kind::later), kPost);
    EXPECT_EQ(state_of(1), State::finished);
    const std::int64_t due = posting_->due_ms().value();
    EXPECT_GE(due, now + 500);
    EXPECT_LE(due, now + 60'000);
    EXPECT_FALSE(posting_->next(due - 1).value());
    EXPECT_EQ(outbox_->newest(1).value()[0].next_post_ms, due) << "a restart waits as long";
    now = due;
  }
  EXPECT_GE(*posting_->due_ms() - now, 0);
  EXPECT_EQ(answer(now, Kind::accepted), kPost);
  EXPECT_EQ(state_of(1), State::posted);
}

TEST_F(PostingTest, an_ambiguous_one_is_asked_after_and_not_repeated) {
  posting_->add(finished(21));
  EXPECT_EQ(answer(0, Kind::ambiguous), kPost);
  EXPECT_EQ(state_of(1), State::posting);
  EXPECT_GT(posting_->due_ms().value(), 0) << "it may still be at it";
  std::int64_t now = *posting_->due_ms();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(asked(now, kUnreachable), kAsk);
    EXPECT_GT(posting_->due_ms().value(), now);
    now = *posting_->due_ms();
  }
  EXPECT_EQ(asked(now, true), kAsk);
  EXPECT_EQ(state_of(1), State::posted);
}

TEST_F(PostingTest, an_ambiguous_one_that_nobody_can_tell_of_is_given_up) {
  posting_->add(finished(21));
  answer(0, Kind::ambiguous);
  EXPECT_EQ(asked(posting_->due_ms().value(), std::optional<bool>()), kAsk);
  EXPECT_EQ(state_of(1), State::given_up);
  EXPECT_FALSE(posting_->due_ms());
}

TEST_F(PostingTest, an_ambiguous_one_is_posted_again_once_the_backend_has_denied_it_twice) {
  posting_->add(finished(21));
  answer(0, Kind::ambiguous);
  const std::int64_t first = posting_->due_ms().value();
  EXPECT_EQ(asked(first, false), kAsk);
  EXPECT_EQ(state_of(1), State::posting);
  const std::int64_t second = posting_->due_ms().value();
  EXPECT_GE(second, first + 5000);
  EXPECT_EQ(asked(second, false), kAsk);
  EXPECT_EQ(state_of(1), State::finished);
  EXPECT_EQ(answer(second, Kind::accepted), kPost);
  EXPECT_EQ(state_of(1), State::posted);
}

TEST_F(PostingTest, one_that_was_being_posted_when_the_agent_died_is_asked_after) {
  posting_->add(finished(21, State::posting));
  EXPECT_EQ(asked(0, true), kAsk);
  EXPECT_EQ(state_of(1), State::posted);
}

TEST_F(PostingTest, one_that_waits_does_not_hold_up_others) {
  posting_->add(finished(21));
  posting_->add(finished(22));
  answer(0, Kind::later);
  const auto errand = posting_->next(0).value();
  ASSERT_TRUE(errand);
  EXPECT_EQ(errand->number, 2);
}

TEST_F(PostingTest, a_clock_that_was_set_back_holds_nothing_up) {
  OutboxEntry entry = finished(21);
  entry.next_post_ms = 4'000'000'000'000;
  posting_->add(entry);
  EXPECT_TRUE(posting_->next(1'700'000'000'000).value());
}

TEST_F(PostingTest, in_a_hurry_each_is_tried_once_more_until_one_finds_no_backend) {
  for (int i = 1; i <= 4; ++i) posting_->add(finished(i));
  answer(0, Kind::later);
  posting_->hurry();
  EXPECT_EQ(posting_->due_ms(), 0);
  EXPECT_EQ(answer(0, Kind::accepted), kPost);
  EXPECT_EQ(answer(0, Kind::ambiguous), kPost);
  EXPECT_EQ(answer(0, Kind::later), kPost);
  EXPECT_FALSE(posting_->due_ms());
  EXPECT_FALSE(posting_->next(1'000'000).value());
  EXPECT_EQ(posting_->waiting(), 3u);
  EXPECT_EQ(outbox_->open_entries().value().size(), 3u);
}

}  // namespace
}  // namespace casemate
