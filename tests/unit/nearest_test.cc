#include "base/nearest.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

TEST(Nearest, finds_what_was_meant) {
  const std::vector<std::string_view> known = {"network", "mounts", "layers", "glob"};
  EXPECT_EQ(nearest("netwrok", known), "network");
  EXPECT_EQ(nearest("layer", known), "layers");
  EXPECT_EQ(nearest("globs", known), "glob");
  EXPECT_EQ(nearest("something", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest(std::string(100'000, 'x'), known), "");
  EXPECT_EQ(did_you_mean("mount", known), ", did you mean 'mounts'?");
  EXPECT_EQ(did_you_mean("x", known), "; known are network, mounts, layers, glob");
}

}  // namespace
}  // namespace casemate
