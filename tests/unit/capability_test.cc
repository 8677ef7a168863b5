#include "cell/capability.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

namespace casemate {
namespace {

TEST(Capability, IsKnownByNameInAnyCase) {
  EXPECT_EQ(capability_number("CHOWN"), CAP_CHOWN);
  EXPECT_EQ(capability_number("cap_net_raw"), CAP_NET_RAW);
  EXPECT_EQ(capability_number("CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE);
  EXPECT_EQ(capability_number("CAP_"), -1);
  EXPECT_EQ(capability_number("CHOW"), -1);
}

}  // namespace
}  // namespace casemate
