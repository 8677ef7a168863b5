#include "apps/script/interpreter_root.h"

#include <gtest/gtest.h>

namespace casemate {
namespace {

TEST(InterpreterRoot, versions_have_images_and_nothing_else_has) {
  EXPECT_EQ(image_for_version("3.10"), "docker://docker.io/library/python:3.10-slim");
  EXPECT_EQ(image_for_version("3.10.4"), "docker://docker.io/library/python:3.10.4-slim");
  EXPECT_EQ(image_for_version("3"), "docker://docker.io/library/python:3-slim");
  EXPECT_EQ(image_for_version("03.010"), "docker://docker.io/library/python:3.10-slim");
  for (const char* other : {"", "2.7", "3.6", "4.0", "three", "/usr/bin/python3", "3.10-rc", "3..1"})
    EXPECT_EQ(image_for_version(other), "") << other;
}

}  // namespace
}  // namespace casemate
