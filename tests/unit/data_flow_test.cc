// Which output becomes which input.
#include "runtime/data_flow.h"

#include <gtest/gtest.h>

namespace casemate::runtime {
namespace {

NamedTexts given(const NamedTexts& outputs, NamedTexts inputs, const PipelineEdge& edge = {}, std::set<std::string> claimed = {}) {
  MainParameters from{.output_paths = outputs};
  MainParameters to{.input_paths = std::move(inputs)};
  hand_over(from, to, edge, claimed);
  return to.input_paths;
}

TEST(HandOver, AnEdgesOwnNamesComeFirst) {
  EXPECT_EQ(given({{"o", "made"}, {"other", "x"}}, {{"a", "p"}, {"b", "q"}}, {.from_output = "o", .to_input = "b"}),
            (NamedTexts{{"a", "p"}, {"b", "made"}}));
  EXPECT_EQ(given({{"o", "made"}}, {{"a", "p"}}, {.to_input = "new"}), (NamedTexts{{"a", "p"}, {"new", "made"}}));
}

TEST(HandOver, ThenPathsThenNames) {
  EXPECT_EQ(given({{"o", "d/made"}}, {{"o", "elsewhere"}, {"b", "./d//made/x.csv"}}),
            (NamedTexts{{"o", "elsewhere"}, {"b", "./d//made/x.csv"}}));
  EXPECT_EQ(given({{"o", "d/made"}}, {{"a", "p"}, {"o", "q"}}), (NamedTexts{{"a", "p"}, {"o", "d/made"}}));
}

TEST(HandOver, WhatFitsNowhereTakesFreePlacesInOrderAndThenItsOwnName) {
  EXPECT_EQ(given({{"x", "1"}, {"y", "2"}, {"b", "3"}, {"z", "4"}, {"a", "5"}}, {{"a", "p"}, {"b", "q"}, {"c", "r"}}, {}, {"a"}),
            (NamedTexts{{"a", "p"}, {"b", "3"}, {"c", "1"}, {"y", "2"}, {"z", "4"}, {"a_2", "5"}}));
  EXPECT_EQ(given({{"x", "1"}, {"y", "2"}}, {}), (NamedTexts{{"data_input", "1"}, {"y", "2"}}));
}

}  // namespace
}  // namespace casemate::runtime
