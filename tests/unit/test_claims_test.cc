// Who may use a test's directory, among threads, testers and (a description each, as here) processes.
#include "runtime/test_claims.h"

#include <filesystem>
#include <future>

#include <gtest/gtest.h>
#include <stdlib.h>

namespace casemate::runtime {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class TestClaimsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::path(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/var/tmp") / "casemate_claims_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    file_ = name + "/state/runtime.lock";
    work_ = name + "/work";
    fs::create_directory(work_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  static inline const ClaimPatience kNone{.most = milliseconds(0), .tell = {}, .interrupted = {}};
  ClaimPatience long_one() {
    return {.most = milliseconds(600'000),
            .tell =
                [this](const std::string& line) {
                  said_ = line;
                  waits_.set_value();
                },
            .interrupted = {}};
  }

  fs::path dir_;
  std::string file_, work_, said_;
  std::promise<void> waits_;
};

TEST_F(TestClaimsTest, WhatSomebodyTestsIsRefusedToAllOthers) {
  TestClaims one(file_), other(file_);
  const auto held = one.claim(work_, {"test_a", "test_b"}, kNone);
  ASSERT_TRUE(held) << held.error().what;
  for (TestClaims* claims : {&one, &other}) {
    const auto refused = claims->claim(work_, {"test_z", "test_b"}, kNone);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::refused);
    EXPECT_EQ(refused.error().what, "another test of that name is running in this workspace: " + work_ +
                                        "/test_b: wait for its end, or name another --workspace-dir (workspace_dir)");
    EXPECT_TRUE(claims->claim(work_, {"test_z"}, kNone)) << "all or none";
    EXPECT_TRUE(claims->claim(dir_, {"test_a"}, kNone)) << "another workspace";
  }
  fs::create_directory_symlink(work_, dir_ / "link");
  EXPECT_FALSE(other.claim(dir_ / "link", {"test_a"}, kNone)) << "the same one by another name";
  EXPECT_TRUE(fs::is_empty(work_));
}

TEST_F(TestClaimsTest, WhoWaitsIsToldOnceAndGoesOnWhenItIsFree) {
  TestClaims one(file_), other(file_);
  for (TestClaims* claims : {&one, &other}) {
    waits_ = {};
    auto held = one.claim(work_, {"test_a", "test_a"}, kNone);
    ASSERT_TRUE(held) << held.error().what;
    auto waiting = std::async(std::launch::async, [&] { return claims->claim(work_, {"test_a"}, long_one()).has_value(); });
    waits_.get_future().wait();
    EXPECT_EQ(said_, "another test of that name is running in this workspace: " + work_ + "/test_a: waits up to 600 s for it");
    *held = TestClaim();
    EXPECT_TRUE(waiting.get());
  }
}

TEST_F(TestClaimsTest, WhoIsInterruptedWaitsNoLonger) {
  TestClaims one(file_), other(file_);
  const auto held = one.claim(work_, {"test_a"}, kNone);
  ASSERT_TRUE(held);
  ClaimPatience patience = long_one();
  patience.interrupted = [] { return true; };
  const auto ended = other.claim(work_, {"test_a"}, patience);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::cancelled);
}

TEST_F(TestClaimsTest, ManyTestsHoldOneDescriptorAndNoTwoWaitForEachOther) {
  std::vector<std::string> names;
  for (int at = 0; at < 2000; ++at) names.push_back("test_" + std::to_string(at));
  const std::vector<std::string> backwards(names.rbegin(), names.rend());
  const auto descriptors = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()); };
  TestClaims one(file_), other(file_);
  for (TestClaims* claims : {&one, &other}) EXPECT_TRUE(claims->claim(work_, {"test_a"}, kNone));
  const auto before = descriptors();
  const auto go = [&](TestClaims& claims, const std::vector<std::string>& all) {
    return std::async(std::launch::async, [&] {
      const auto held = claims.claim(work_, all, {});
      return held.has_value();
    });
  };
  auto first = go(one, names), second = go(other, backwards), third = go(one, backwards);
  EXPECT_TRUE(first.get() && second.get() && third.get());
  const auto held = one.claim(work_, names, kNone);
  EXPECT_TRUE(held);
  EXPECT_EQ(descriptors(), before);
}

TEST_F(TestClaimsTest, WhereNoFileCanBeMadeThreadsStillExcludeEachOther) {
  TestClaims claims("/dev/null/runtime.lock");
  const auto held = claims.claim(work_, {"test_a"}, long_one());
  ASSERT_TRUE(held);
  EXPECT_TRUE(said_.starts_with("tests of other processes in this workspace can't be seen: ")) << said_;
  EXPECT_NE(said_.find("/dev/null/runtime.lock"), std::string::npos) << said_;
  EXPECT_FALSE(claims.claim(work_, {"test_a"}, kNone));
}

}  // namespace
}  // namespace casemate::runtime
