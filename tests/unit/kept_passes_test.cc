// Tests that need not run again: what of them is kept, and what their results depend on.
#include "session/kept_passes.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "session/suite_cache.h"
#include "session/suite_inputs.h"
#include "store_scratch.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;

class KeptPassesTest : public StoreScratch {};

KeptPass pass(std::chrono::microseconds duration) { return {.duration = duration, .made = 17}; }

TEST_F(KeptPassesTest, what_is_added_is_found_whatever_its_bytes) {
  const KeptPasses kept(directory_);
  EXPECT_TRUE(kept.find("x").passes.empty());
  EXPECT_FALSE(kept.find("x").damaged);
  KeptPass whole = pass(12ms);
  whole.warnings = {{"UserWarning", "mind \xff this\n", "a.py", 7}};
  whole.properties = {{"key", ""}, {"key", std::string("\0", 1)}};
  const std::string odd("t.py::test[\n\xff\0]", 16);
  kept.add("x", {{odd, whole}});
  kept.add("x", {{"t.py::other", pass(1us)}});
  kept.add("y", {{"t.py::other", pass(2us)}});
  const PassesByTest expected = {{odd, whole}, {"t.py::other", pass(1us)}};
  EXPECT_EQ(kept.find("x").passes, expected);
  EXPECT_EQ(kept.find("y").passes.size(), 1u);
  kept.add("x", {{"t.py::other", pass(3us)}});
  EXPECT_EQ(kept.find("x").passes.at("t.py::other").duration, 3us) << "the newer one";
  EXPECT_GT(kept.clear(), 0u);
  EXPECT_TRUE(kept.find("x").passes.empty());
}

TEST_F(KeptPassesTest, damage_is_told_and_written_over) {
  const KeptPasses kept(directory_);
  kept.add("x", {{"a", pass(1ms)}});
  spill(directory_ + "/tests/x", "casemate");
  EXPECT_TRUE(kept.find("x").damaged);
  EXPECT_TRUE(kept.find("x").passes.empty());
  kept.add("x", {{"b", pass(1ms)}});
  EXPECT_FALSE(kept.find("x").damaged);
  EXPECT_EQ(kept.find("x").passes.size(), 1u);
}

TEST_F(KeptPassesTest, who_adds_at_the_same_time_loses_nothing) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 10; ++k) KeptPasses(directory_).add("x", {{std::to_string(10 * i + k), pass(1ms)}});
    });
  }
  threads.clear();
  EXPECT_EQ(KeptPasses(directory_).find("x").passes.size(), 80u);
}

using Words = std::vector<std::string>;

TEST_F(KeptPassesTest, what_selects_or_only_shows_does_not_count) {
  const std::string& here = directory_;
  spill(here + "/test_a.py", "");
  const auto counting = [&](const Words& words) { return counting_arguments(words, here); };
  EXPECT_EQ(counting({"-k", "a and b", "-m", "slow", "-kx", "--deselect=t.py", "--deselect", "t.py", "--ignore=x", "--ignore-glob", "y*"}),
            Words{});
  EXPECT_EQ(counting({"-vv", "-q", "-qv", "--tb=short", "--tb", "no", "--color=yes", "--showlocals", "--verbose", "--full-trace"}),
            Words{});
  EXPECT_EQ(counting({"test_a.py", "test_a.py::test_b[x]", "."}), Words{});
  const Words counts = {
      "-p", "no:x", "-o", "test_a.py", "-W", "error", "-c", "test_a.py", "-pno:y", "--import-mode=importlib", "--strict-markers", "-x"};
  EXPECT_EQ(counting(counts), counts);
  EXPECT_EQ(counting({"--strict-markers", "test_a.py"}), Words{"--strict-markers"});
  EXPECT_EQ(counting({"--plugins-own", "test_a.py"}), (Words{"--plugins-own", "test_a.py"})) << "its value, as far as we know";
  EXPECT_EQ(counting({"--pyargs", "a.package"}), (Words{"--pyargs", "a.package"}));
}

TEST(CachedResult, is_as_the_pass_was) {
  const KeptPass was{.duration = 5ms, .made = 1, .warnings = {{"W", "m", "p", 1}}, .properties = {{"a", "b"}}};
  const TestResult result = cached_result({.id = "t.py::a"}, was);
  EXPECT_TRUE(result.cached && result.last && result.outcome.succeeded());
  EXPECT_EQ(result.verdict, Verdict::passed);
  EXPECT_EQ(result.duration, 5ms);
  EXPECT_EQ(result.warnings, was.warnings);
  EXPECT_EQ(result.properties, was.properties);
}

}  // namespace
}  // namespace casemate
