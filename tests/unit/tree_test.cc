#include "store/tree.h"

#include "store_scratch.h"

namespace casemate {
namespace {

TEST(Tree, digests_see_what_they_should) {
  char name[] = "/tmp/casemate-tree-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string root = name;
  ASSERT_TRUE(fill_small(root));
  const auto contents = [&] { return summarize_tree(root, TreeDepth::contents).value().digest; };
  const auto metadata = [&] { return summarize_tree(root, TreeDepth::metadata).value().digest; };
  const std::string first = contents();
  EXPECT_EQ(first, contents());
  EXPECT_EQ(metadata(), metadata());
  ::chmod((root + "/lib/python/module.py").c_str(), 0640);
  EXPECT_NE(contents(), first);
  ::chmod((root + "/lib/python/module.py").c_str(), 0644);
  spill(root + "/lib/\xff\n", "");
  EXPECT_NE(contents(), first);
  fs::remove(root + "/lib/\xff\n");
  fs::remove(root + "/lib/link");
  fs::create_symlink("python/other.py", root + "/lib/link");
  EXPECT_NE(contents(), first);
  EXPECT_TRUE(remove_tree(root));
  EXPECT_TRUE(remove_tree(root)) << "nothing there";
}

TEST(Tree, holes_cost_nothing_and_equal_zeros) {
  char name[] = "/tmp/casemate-tree-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string root = name;
  const auto digest = [&] { return summarize_tree(root, TreeDepth::contents).value().digest; };
  spill(root + "/file", std::string(300'000, '\0'));
  const std::string zeros = digest();
  fs::remove(root + "/file");
  spill(root + "/file", "");
  ASSERT_EQ(::truncate((root + "/file").c_str(), 300'000), 0);
  EXPECT_EQ(digest(), zeros);
  ASSERT_EQ(::truncate((root + "/file").c_str(), 1ll << 40), 0);
  const TreeSummary giant = summarize_tree(root, TreeDepth::contents).value();
  EXPECT_LE(giant.bytes, 1u << 20);
  EXPECT_NE(giant.digest, zeros);
  EXPECT_TRUE(remove_tree(root));
}

}  // namespace
}  // namespace casemate
