// Roots put together of trees.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "action/composition.h"

namespace casemate {
namespace {

// usr/bin/tool, bin -> usr/bin, var/run -> /run, run/, loop -> loop, up -> ../../usr
InputDirectoryPtr base() {
  const InputDirectoryPtr bin = seal({.files = {{"tool", input_file("tool", true)}}});
  const InputDirectoryPtr usr = seal({.files = {{"readme", input_file("r")}}, .directories = {{"bin", bin}}});
  const InputDirectoryPtr var = seal({.symlinks = {{"run", "/run"}}});
  return seal({.symlinks = {{"bin", "usr/bin"}, {"loop", "loop"}, {"up", "../../usr"}, {"new", "var/new/one"}},
               .directories = {{"usr", usr}, {"var", var}, {"run", empty_input()}}});
}

Result<InputDirectoryPtr> with(const std::vector<PlacedInput>& placed) { return compose(base(), placed); }

// The content of a file, "(nothing)" if there is none at this very path.
std::string content(InputDirectoryPtr at, std::string path) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/')) {
    const auto below = at->directories.find(path.substr(0, slash));
    if (below == at->directories.end()) return "(nothing)";
    at = below->second;
    path.erase(0, slash + 1);
  }
  const auto file = at->files.find(path);
  return file == at->files.end() ? "(nothing)" : file->second.blob.bytes;
}

TEST(Composition, follows_symlinks_within_the_root) {
  const auto root = with({{"/bin/other", input_file("o")}, {"/var/run/x", input_file("x")}, {"/up/y", input_file("y")}});
  ASSERT_TRUE(root) << root.error().what;
  EXPECT_EQ(content(*root, "usr/bin/other"), "o");
  EXPECT_EQ(content(*root, "usr/bin/tool"), "tool");
  EXPECT_EQ(content(*root, "run/x"), "x");
  EXPECT_EQ(content(*root, "usr/y"), "y");
  EXPECT_EQ((*root)->symlinks.at("bin"), "usr/bin");
}

TEST(Composition, a_symlink_at_the_place_itself_is_followed_by_all_but_a_symlink) {
  const auto tree = seal({.files = {{"only", input_file("1")}}});
  const auto root = with({{"/bin", tree}});
  ASSERT_TRUE(root);
  EXPECT_EQ(content(*root, "usr/bin/only"), "1");
  EXPECT_EQ(content(*root, "usr/bin/tool"), "(nothing)") << "a mount hides what it lies over";
  const auto dangling = with({{"/new", tree}});
  ASSERT_TRUE(dangling);
  EXPECT_EQ(content(*dangling, "var/new/one/only"), "1");
  const auto link = with({{"/bin", PlacedInput::SymlinkTarget("sbin")}});
  ASSERT_TRUE(link);
  EXPECT_EQ((*link)->symlinks.at("bin"), "sbin");
  EXPECT_EQ(content(*link, "usr/bin/tool"), "tool");
}

TEST(Composition, only_directories_on_the_way_are_new) {
  const InputDirectoryPtr old = base();
  const std::vector<PlacedInput> placed = {{"/app/src/main.py", input_file("m")}};
  const auto root = compose(old, placed);
  ASSERT_TRUE(root);
  EXPECT_EQ((*root)->directories.at("usr"), old->directories.at("usr")) << "shared, not copied";
  EXPECT_EQ(content(*root, "app/src/main.py"), "m");
  const std::vector<PlacedInput> nothing;
  EXPECT_EQ(*compose(old, nothing), old);
  const std::vector<PlacedInput> same = {{"/usr/bin", old->directories.at("usr")->directories.at("bin")}};
  EXPECT_EQ(*compose(old, same), old);
}

TEST(Composition, later_ones_go_into_earlier_ones_and_replace) {
  const auto tree = seal({.files = {{"a", input_file("a")}}});
  const auto root = with({{"/app", tree}, {"/app/sub/b", input_file("b")}, {"/app/a", empty_input()}, {"/usr/readme", input_file("new")}});
  ASSERT_TRUE(root);
  EXPECT_EQ(content(*root, "app/sub/b"), "b");
  EXPECT_EQ(content(*root, "app/a"), "(nothing)");
  EXPECT_TRUE((*root)->directories.at("app")->directories.contains("a"));
  EXPECT_EQ(content(*root, "usr/readme"), "new");
  EXPECT_TRUE(tree->files.contains("a")) << "what was given has not changed";
  const auto whole = with({{"/", tree}, {"/c", input_file("c")}});
  ASSERT_TRUE(whole);
  EXPECT_EQ((*whole)->files.size(), 2u);
  EXPECT_TRUE((*whole)->directories.empty());
}

TEST(Composition, order_of_apart_places_does_not_matter) {
  const auto one = with({{"/a/x", input_file("x")}, {"/b", input_file("b")}});
  const auto other = with({{"/b", input_file("b")}, {"/a/x", input_file("x")}});
  ASSERT_TRUE(one && other);
  EXPECT_EQ((*one)->digest, (*other)->digest);
}

TEST(Composition, what_is_no_place_is_refused_with_its_name) {
  for (const char* path : {"relative", "", "/loop/x", "/usr/readme/x", "/\xff", "/usr/bin/tool/.."}) {
    const auto root = with({{path, input_file("x")}});
    ASSERT_FALSE(root) << path;
    EXPECT_EQ(root.error().code, ErrorCode::invalid_input);
    EXPECT_NE(root.error().what.find("can't put an input at"), std::string::npos) << root.error().what;
  }
  EXPECT_FALSE(with({{"/", input_file("x")}}));
  EXPECT_FALSE(with({{"/s", PlacedInput::SymlinkTarget("\xfe")}}));
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "/d";
  EXPECT_FALSE(with({{deep, input_file("x")}}));
}

TEST(Composition, paths_lead_where_the_root_says) {
  EXPECT_EQ(*resolve_input(base(), "/bin"), "/usr/bin");
  EXPECT_EQ(*resolve_input(base(), "/bin/../readme"), "/usr/readme");
  EXPECT_EQ(*resolve_input(base(), "/../../bin/./tool/"), "/usr/bin/tool");
  EXPECT_EQ(*resolve_input(base(), "/var/run/missing/x"), "/run/missing/x");
  EXPECT_EQ(*resolve_input(base(), "/new/x"), "/var/new/one/x");
  EXPECT_EQ(*resolve_input(base(), "/"), "/");
  EXPECT_FALSE(resolve_input(base(), "/loop"));
}

TEST(InputDirectory, each_blob_once) {
  const InputDirectoryPtr shared = seal({.files = {{"f", input_file("f")}}});
  const InputDirectoryPtr again = seal({.files = {{"f", input_file("f")}}});
  const InputDirectoryPtr top = seal({.directories = {{"a", shared}, {"b", shared}, {"c", again}}});
  std::vector<std::string> taken;
  for_each_blob(*top, [&](const Blob& blob) { taken.push_back(blob.bytes); });
  EXPECT_EQ(taken, (std::vector<std::string>{top->message, shared->message, "f"}));
  taken.clear();
  for_each_blob(
      *top, [&](const Blob& blob) { taken.push_back(blob.bytes); },
      [&](const InputDirectory& directory) { return directory.digest == top->digest; });
  EXPECT_EQ(taken, (std::vector<std::string>{top->message}));
}

}  // namespace
}  // namespace casemate
