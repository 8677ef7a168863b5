// Tree messages that engines send, good and bad.
#include <gtest/gtest.h>

#include "action/messages.h"
#include "remote/engine.h"
#include "remote/protocol/remote_execution.pb.h"

namespace casemate {
namespace {

namespace v2 = build::bazel::remote::execution::v2;

void set_digest(v2::Digest& message, const BlobDigest& digest) {
  message.set_hash(digest.hash);
  message.set_size_bytes(static_cast<std::int64_t>(digest.size));
}

void add_file(v2::Directory& directory, const std::string& name) {
  auto& file = *directory.add_files();
  file.set_name(name);
  set_digest(*file.mutable_digest(), digest_of(name));
}

void add_directory(v2::Directory& directory, const std::string& name, const v2::Directory& child) {
  auto& node = *directory.add_directories();
  node.set_name(name);
  set_digest(*node.mutable_digest(), digest_of(child.SerializeAsString()));
}

std::string problem_of(const v2::Tree& tree) {
  const auto read = RemoteEngine::read_tree(tree.SerializeAsString());
  return read ? "none" : read.error().what;
}

TEST(RemoteTree, what_we_write_is_read_as_it_was) {
  InputDirectory sub;
  sub.files["a"] = input_file("content of a", true);
  sub.symlinks["l"] = "/somewhere";
  const auto sealed = seal(std::move(sub));
  InputDirectory top;
  top.files["b"] = input_file("content of b");
  top.directories["one"] = sealed;
  top.directories["two"] = sealed;
  const auto root = seal(std::move(top));
  const auto read = RemoteEngine::read_tree(tree_message(*root));
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ((*read)->digest, root->digest);
  EXPECT_EQ((*read)->directories.at("one"), (*read)->directories.at("two"));
  EXPECT_TRUE((*read)->directories.at("one")->files.at("a").executable);
  EXPECT_EQ((*read)->directories.at("one")->symlinks.at("l"), "/somewhere");
  EXPECT_TRUE(RemoteEngine::read_tree(""));
}

TEST(RemoteTree, names_that_are_none_are_refused) {
  for (const std::string& name : {std::string(""), std::string("."), std::string(".."), std::string("a/b"), std::string("/"),
                                  std::string("a\0b", 3), std::string(256, 'a')}) {
    for (int kind = 0; kind < 3; ++kind) {
      v2::Tree tree;
      const v2::Directory child;
      *tree.add_children() = child;
      if (kind == 0) add_file(*tree.mutable_root(), name);
      if (kind == 1) add_directory(*tree.mutable_root(), name, child);
      if (kind == 2) {
        tree.mutable_root()->add_symlinks()->set_name(name);
        tree.mutable_root()->mutable_symlinks(0)->set_target("x");
      }
      EXPECT_NE(problem_of(tree).find("is no name of a file"), std::string::npos) << name << kind;
    }
  }
  v2::Tree twice;
  add_file(*twice.mutable_root(), "a");
  twice.mutable_root()->add_symlinks()->set_name("a");
  twice.mutable_root()->mutable_symlinks(0)->set_target("x");
  EXPECT_NE(problem_of(twice).find("twice in one directory"), std::string::npos);
}

TEST(RemoteTree, digests_that_lie_are_refused) {
  v2::Tree tree;
  v2::Directory child;
  add_file(child, "a");
  add_directory(*tree.mutable_root(), "d", child);
  EXPECT_NE(problem_of(tree).find("is not in it"), std::string::npos);
  *tree.add_children() = child;
  EXPECT_EQ(problem_of(tree), "none");
  tree.mutable_root()->mutable_directories(0)->mutable_digest()->set_size_bytes(1);
  EXPECT_NE(problem_of(tree).find("is not in it"), std::string::npos);
  v2::Tree negative;
  add_file(*negative.mutable_root(), "a");
  negative.mutable_root()->mutable_files(0)->mutable_digest()->set_size_bytes(-1);
  EXPECT_NE(problem_of(negative).find("a digest that is none"), std::string::npos);
}

// `levels` directories below each other, each `times` times in the one above it.
v2::Tree nested(int levels, int times) {
  v2::Tree tree;
  v2::Directory below;
  for (int level = 0; level < levels; ++level) {
    *tree.add_children() = below;
    v2::Directory above;
    for (int i = 0; i < times; ++i) add_directory(above, std::to_string(i), below);
    below = above;
  }
  *tree.mutable_root() = below;
  return tree;
}

TEST(RemoteTree, depth_and_paths_are_bounded) {
  EXPECT_EQ(problem_of(nested(200, 1)), "none");
  EXPECT_NE(problem_of(nested(300, 1)).find("directories below each other"), std::string::npos);
  EXPECT_EQ(problem_of(nested(10, 3)), "none");
  EXPECT_NE(problem_of(nested(60, 2)).find("paths"), std::string::npos);  // 2^60 of them
}

TEST(RemoteTree, gigantic_counts_cost_little_and_garbage_nothing) {
  // 8 million entries of two bytes each: as objects 500 MB.
  std::string entries;
  for (int i = 0; i < 8'000'000; ++i) entries += std::string_view("\x12\0", 2);
  v2::Tree tree;
  std::string message("\x0a");
  for (std::size_t size = entries.size(); size != 0; size >>= 7) message += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
  message += entries;
  auto read = RemoteEngine::read_tree(message);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().what.find("entries"), std::string::npos) << read.error().what;
  for (const std::string& bytes : {std::string("\xff"), std::string("\x0a\x7f"), std::string("\x0a\xff\xff\xff\xff\x0f"),
                                   std::string("\x0a\x02\x0a\x7f"), std::string("\x0a\0\x0a\0", 4)}) {
    read = RemoteEngine::read_tree(bytes);
    EXPECT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  }
  EXPECT_FALSE(RemoteEngine::read_tree(std::string((64u << 20) + 1, '\0')));
}

}  // namespace
}  // namespace casemate
