// scratch_directory: a directory for one test.
#pragma once

#include <string>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "store/tree.h"

namespace casemate {

/// A fixture with a new directory below /tmp, gone with it.
class ScratchDirectory : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/casemate-agent-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }

  std::string directory_;
};

}  // namespace casemate
