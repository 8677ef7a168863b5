#include "testplan/kept_output.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

CaseResult printed(std::string out) {
  CaseResult one;
  one.steps.resize(1);
  one.steps[0].out = std::move(out);
  return one;
}

TEST(KeptOutput, is_whole_until_there_is_too_much) {
  KeptOutput kept;
  const std::string large(16u << 20, 'x');
  for (int number = 0; number < 4; ++number) {
    CaseResult one = printed(large);
    kept.take(one);
    EXPECT_EQ(one.steps[0].out, large);
    EXPECT_FALSE(one.steps[0].truncated);
  }
  CaseResult late = printed("begin" + large + "end");
  kept.take(late);
  EXPECT_TRUE(late.steps[0].truncated);
  EXPECT_LT(late.steps[0].out.size(), 40'000u);
  EXPECT_TRUE(late.steps[0].out.starts_with("beginx"));
  EXPECT_TRUE(late.steps[0].out.ends_with("xend"));
  EXPECT_NE(late.steps[0].out.find("[casemate: 16744456 bytes left out]"), std::string::npos) << late.steps[0].out.substr(16'384, 50);
  CaseResult small = printed("a line\n");
  kept.take(small);
  EXPECT_EQ(small.steps[0].out, "a line\n");
}

TEST(KeptOutput, counts_bytes_as_documents_have_them) {
  PlanResult result;
  for (int number = 0; number < 2000; ++number) result.cases.push_back(printed(std::string(number < 10 ? 10u << 20 : 100'000u, '\0')));
  bound_outputs(result);
  std::size_t sum = 0;
  for (const CaseResult& one : result.cases) sum += one.steps[0].out.size();
  EXPECT_LT(6 * sum, 192u << 20);  // "\\u0000"
  EXPECT_EQ(result.cases[0].steps[0].out.size(), 10u << 20);
  EXPECT_TRUE(result.cases[1999].steps[0].truncated);
}

}  // namespace
}  // namespace casemate
