// Trees of inputs from directories and layers, and what is kept of them.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "action/digest_cache.h"
#include "action/input_trees.h"
#include "action/kept_tree.h"
#include "base/digest.h"
#include "store_scratch.h"

namespace casemate {
namespace {

class InputTreesTest : public StoreScratch {
 protected:
  void SetUp() override {
    StoreScratch::SetUp();
    top_ = directory_ + "/top";
    fs::create_directories(top_);
  }
  std::string make(const std::string& path, const std::string& text = "", unsigned mode = 0644) {
    const std::string whole = top_ + "/" + path;
    fs::create_directories(fs::path(whole).parent_path());
    spill(whole, text);
    EXPECT_EQ(::chmod(whole.c_str(), mode), 0);
    return whole;
  }
  // False where that can't be made (CAP_MKNOD is missing).
  bool whiteout(const std::string& path) {
    fs::create_directories(fs::path(top_ + "/" + path).parent_path());
    return ::mknod((top_ + "/" + path).c_str(), S_IFCHR, 0) == 0;
  }
  void opaque(const std::string& path) {
    fs::create_directories(top_ + "/" + path);
    if (::setxattr((top_ + "/" + path).c_str(), "user.overlay.opaque", "y", 1, 0) < 0)
      ASSERT_EQ(::setxattr((top_ + "/" + path).c_str(), "trusted.overlay.opaque", "y", 1, 0), 0) << "tmpfs before Linux 6.6, and no root";
  }
  InputTree directory(InputTrees& trees) {
    auto tree = trees.directory(top_);
    EXPECT_TRUE(tree) << tree.error().what;
    return tree ? *tree : InputTree{empty_input(), {}};
  }
  InputTree layers(const std::vector<std::string>& names) {
    std::vector<std::string> paths;
    for (const std::string& name : names) paths.push_back(top_ + "/" + name);
    InputTrees trees;
    auto tree = trees.layers(paths);
    EXPECT_TRUE(tree) << tree.error().what;
    return tree ? *tree : InputTree{empty_input(), {}};
  }
  static std::vector<std::string> listed(const InputDirectory& tree, const std::string& at = "") {
    std::vector<std::string> names;
    for (const auto& [name, file] : tree.files) names.push_back(at + name + (file.executable ? "*" : ""));
    for (const auto& [name, target] : tree.symlinks) names.push_back(at + name + "->" + target);
    for (const auto& [name, below] : tree.directories) {
      names.push_back(at + name + "/");
      for (const std::string& one : listed(*below, at + name + "/")) names.push_back(one);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  using Names = std::vector<std::string>;

  std::string top_;
};

// Root reads everything: for as long as this lives this process has another's id.
struct NotRoot {
  NotRoot() {
    if (::getuid() == 0) EXPECT_EQ(::seteuid(65534), 0);
  }
  ~NotRoot() {
    if (::getuid() == 0) EXPECT_EQ(::seteuid(0), 0);
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;
};

TEST_F(InputTreesTest, a_directory_as_it_is) {
  make("a", "1");
  make("bin/run", "#!", 0755);
  make("bin/group", "#!", 0674);
  fs::create_symlink("/etc/passwd", top_ + "/out");
  fs::create_directory(top_ + "/empty");
  InputTrees trees;
  const InputTree tree = directory(trees);
  EXPECT_EQ(listed(*tree.top), (Names{"a", "bin/", "bin/group", "bin/run*", "empty/", "out->/etc/passwd"}));
  EXPECT_EQ(tree.top->files.at("a").blob.digest, (BlobDigest{sha256_hex("1"), 1}));
  EXPECT_EQ(tree.top->files.at("a").blob.path, top_ + "/a");
  EXPECT_TRUE(tree.left_out.empty());
}

TEST_F(InputTreesTest, equal_contents_are_equal_whatever_times_modes_order_and_place) {
  for (const char* name : {"z", "b", "m"}) make(std::string("one/") + name, name, 0644);
  for (const char* name : {"m", "z", "b"}) make(std::string("other/") + name, name, 0600);
  set_age(top_ + "/one/z", 10000);
  InputTrees trees;
  const auto one = trees.directory(top_ + "/one");
  const auto other = trees.directory(top_ + "/other");
  ASSERT_TRUE(one && other);
  EXPECT_EQ(one->top->digest, other->top->digest);
  make("other/m", "n");
  EXPECT_NE(one->top->digest, trees.directory(top_ + "/other")->top->digest);
}

TEST_F(InputTreesTest, layers_are_merged_as_overlayfs_merges_them) {
  make("upper/both", "upper");
  make("lower/both", "lower");
  make("lower/only", "");
  make("upper/dir/new", "");
  make("lower/dir/old", "");
  make("upper/file_over_dir", "");
  make("lower/file_over_dir/gone", "");
  make("upper/dir_over_file/x", "");
  make("lower/dir_over_file", "");
  opaque("upper/opaque");
  make("upper/opaque/new", "");
  make("lower/opaque/hidden", "");
  const InputTree tree = layers({"upper", "lower"});
  EXPECT_EQ(listed(*tree.top), (Names{"both", "dir/", "dir/new", "dir/old", "dir_over_file/", "dir_over_file/x", "file_over_dir", "only",
                                      "opaque/", "opaque/new"}));
  EXPECT_EQ(tree.top->files.at("both").blob.path, top_ + "/upper/both");
  EXPECT_EQ(tree.top->files.at("only").blob.path, top_ + "/lower/only");
}

TEST_F(InputTreesTest, a_file_in_the_middle_hides_what_is_below_it) {
  make("1/d/a", "");
  make("2/d", "");
  make("3/d/b", "");
  EXPECT_EQ(listed(*layers({"1", "2", "3"}).top), (Names{"d/", "d/a"}));
  EXPECT_EQ(listed(*layers({"2", "1", "3"}).top), (Names{"d"}));
}

TEST_F(InputTreesTest, whiteouts_hide) {
  if (!whiteout("upper/gone")) GTEST_SKIP() << "no device 0:0 can be made here";
  make("lower/gone", "");
  whiteout("upper/d/gone");
  make("lower/d/gone/x", "");
  make("lower/d/kept", "");
  whiteout("middle/e");
  make("upper/e/new", "");
  make("lower/e/old", "");
  whiteout("upper/nothing_below");
  const InputTree tree = layers({"upper", "middle", "lower"});
  EXPECT_EQ(listed(*tree.top), (Names{"d/", "d/kept", "e/", "e/new"}));
  EXPECT_TRUE(tree.left_out.empty());
}

TEST_F(InputTreesTest, what_is_no_input_is_left_out_and_named) {
  ASSERT_EQ(::mkfifo((top_ + "/pipe").c_str(), 0600), 0);
  sockaddr_un address{.sun_family = AF_UNIX};
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", top_.c_str());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  make("file");
  InputTrees trees;
  InputTree tree = directory(trees);
  std::sort(tree.left_out.begin(), tree.left_out.end());
  EXPECT_EQ(listed(*tree.top), (Names{"file"}));
  EXPECT_EQ(tree.left_out, (Names{top_ + "/pipe: a FIFO", top_ + "/sock: a socket"}));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(::mkfifo((top_ + "/p" + std::to_string(i)).c_str(), 0600), 0);
  tree = directory(trees);
  ASSERT_EQ(tree.left_out.size(), 11u);
  EXPECT_EQ(tree.left_out.back(), "and 12 more");
}

TEST_F(InputTreesTest, names_that_are_not_utf8_are_an_error_that_names_them) {
  make("d/\xff");
  InputTrees trees;
  auto tree = trees.directory(top_);
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::invalid_input);
  EXPECT_NE(tree.error().what.find("d/\\xff"), std::string::npos) << tree.error().what;
  fs::remove(top_ + "/d/\xff");
  fs::create_symlink("\xfe", top_ + "/d/link");
  tree = trees.directory(top_);
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().what.find("d/link"), std::string::npos) << tree.error().what;
}

TEST_F(InputTreesTest, too_deep_is_an_error) {
  std::string path = top_;
  for (int i = 0; i < 300; ++i) path += "/d";
  fs::create_directories(path);
  InputTrees trees;
  const auto tree = trees.directory(top_);
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::exhausted);
}

TEST_F(InputTreesTest, not_readable_is_an_error_in_a_directory_and_left_out_of_a_stores_layer) {
  make("layer/secret", "x", 0);
  make("layer/other", "x");
  Store store = open();
  const auto layer = store.make_layer(kKey, "a layer", [](const std::string& directory) -> Result<void> {
    spill(directory + "/other", "x");
    spill(directory + "/secret", "x");
    ::chmod((directory + "/secret").c_str(), 0);
    return {};
  });
  ASSERT_TRUE(layer);
  for (fs::path above = layer->path(); above.native().size() >= directory_.size(); above = above.parent_path())
    ASSERT_EQ(::chmod(above.c_str(), 0755), 0);
  const NotRoot not_root;
  InputTrees trees;
  const auto tree = trees.directory(top_ + "/layer");
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::refused);
  EXPECT_NE(tree.error().what.find("layer/secret"), std::string::npos) << tree.error().what;
  const auto rest = trees.readable(top_ + "/layer");
  ASSERT_TRUE(rest);
  EXPECT_EQ(listed(*rest->top), (Names{"other"}));
  EXPECT_EQ(rest->left_out, (Names{top_ + "/layer/secret: not readable"}));
  const auto merged = InputTrees(directory_).layers({layer->path()});
  ASSERT_TRUE(merged) << merged.error().what;
  EXPECT_EQ(merged->top->digest, rest->top->digest);
  EXPECT_EQ(merged->left_out, (Names{layer->path() + "/secret: not readable"}));
}

TEST_F(InputTreesTest, stamps_tell_by_size_and_time_without_reading) {
  make("file", "one");
  InputTrees trees;
  const auto before = trees.stamps(top_);
  set_age(top_ + "/file", 100);
  const auto older = trees.stamps(top_);
  make("other", "");
  const auto more = trees.stamps(top_);
  ASSERT_TRUE(before && older && more);
  EXPECT_NE(before->top->digest, older->top->digest);
  EXPECT_NE(older->top->digest, more->top->digest);
}

TEST_F(InputTreesTest, one_file_also_behind_a_symlink) {
  make("file", "x", 0755);
  fs::create_symlink("file", top_ + "/link");
  InputTrees trees;
  const auto file = trees.file(top_ + "/link");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->blob.digest, (BlobDigest{sha256_hex("x"), 1}));
  EXPECT_TRUE(file->executable);
  EXPECT_FALSE(trees.file(top_));
  EXPECT_EQ(trees.file(top_ + "/none").error().code, ErrorCode::not_found);
  EXPECT_EQ(trees.directory(top_ + "/none").error().code, ErrorCode::not_found);
}

// ---- what is kept

FileStamp stamp(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return stamp_of(info);
}

TEST_F(InputTreesTest, digests_are_known_again_until_the_file_changes) {
  const std::string file = make("file", "one");
  ::usleep(150'000);  // until its times are older than the look
  {
    EXPECT_EQ(InputTrees(directory_).directory(top_)->top->files.at("file").blob.digest.hash, sha256_hex("one"));
  }
  DigestCache kept(directory_, top_);
  EXPECT_EQ(kept.known(stamp(file)), (BlobDigest{sha256_hex("one"), 3}));
  EXPECT_EQ(DigestCache(directory_, "/elsewhere").known(stamp(file)), std::nullopt);
  make("file", "two");
  EXPECT_EQ(kept.known(stamp(file)), std::nullopt);
  EXPECT_EQ(InputTrees(directory_).directory(top_)->top->files.at("file").blob.digest.hash, sha256_hex("two"));
}

TEST_F(InputTreesTest, a_file_as_young_as_the_look_is_not_remembered) {
  const std::string file = make("file", "one");
  DigestCache cache(directory_, top_);
  const UniqueFd fd(::open(file.c_str(), O_RDONLY));
  ASSERT_TRUE(cache.read(fd.get()));
  EXPECT_EQ(cache.known(stamp(file)), std::nullopt);
}

TEST_F(InputTreesTest, damaged_digests_are_as_if_never_there) {
  const std::string file = make("file", "one");
  ::usleep(150'000);
  {
    EXPECT_TRUE(InputTrees(directory_).directory(top_));
  }
  for (const auto& entry : fs::directory_iterator(directory_ + "/digests")) {
    std::string bytes = slurp(entry.path());
    bytes[bytes.size() / 2] ^= 1;
    spill(entry.path(), bytes);
  }
  EXPECT_EQ(DigestCache(directory_, top_).known(stamp(file)), std::nullopt);
  EXPECT_EQ(InputTrees(directory_).directory(top_)->top->files.at("file").blob.digest.hash, sha256_hex("one"));
}

TEST_F(InputTreesTest, trees_of_a_stores_layers_are_kept_whole) {
  Store store = open();
  const auto layer = store.make_layer(kKey, "a layer", fill_small);
  ASSERT_TRUE(layer);
  const std::vector<std::string> paths = {layer->path()};
  const auto made = InputTrees(directory_).layers(paths);
  ASSERT_TRUE(made);
  const InputDirectoryPtr kept = kept_tree(directory_, paths);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->digest, made->top->digest);
  EXPECT_EQ(listed(*kept), (Names{"lib/", "lib/link->python/module.py", "lib/python/", "lib/python/module.py"}));
  EXPECT_EQ(kept->directories.at("lib")->directories.at("python")->files.at("module.py").blob.path,
            layer->path() + "/lib/python/module.py");
  const std::vector<std::string> outside = {top_};
  InputTrees trees(directory_);
  EXPECT_TRUE(trees.layers(outside)->top->files.empty());
  make("new");
  EXPECT_TRUE(trees.layers(outside)->top->files.contains("new"));
  EXPECT_FALSE(kept_tree(directory_, outside)) << "what is not the store's may change";
  // Removed and made again with other contents, as an environment may be.
  fs::rename(layer->path(), layer->path() + ".old");
  fs::create_directory(layer->path());
  EXPECT_FALSE(kept_tree(directory_, paths));
}

TEST_F(InputTreesTest, what_is_filtered_is_as_if_it_were_not_there) {
  make("a/kept.py", "1");
  const std::string plain = directory(*std::make_unique<InputTrees>()).top->digest.hash;
  make("a/__pycache__/kept.pyc", "x");
  make(".git/HEAD", "y");
  make("a/out.xml", "z");
  fs::create_symlink("x", top_ + "/__pycache__");
  InputTrees trees("", {.names = {"__pycache__", ".git"}, .paths = {top_ + "/a/out.xml"}});
  EXPECT_EQ(directory(trees).top->digest.hash, plain);
  const auto layered = trees.layers({top_});
  ASSERT_TRUE(layered);
  EXPECT_EQ(layered->top->digest.hash, plain);
  EXPECT_NE(directory(*std::make_unique<InputTrees>()).top->digest.hash, plain);
}

TEST_F(InputTreesTest, of_a_stores_layers_what_is_kept_is_whole_and_what_is_given_filtered) {
  Store store = open();
  const auto fill = [](const std::string& directory) -> Result<void> {
    fs::create_directories(directory + "/lib/__pycache__");
    spill(directory + "/lib/module.py", "1");
    spill(directory + "/lib/__pycache__/module.pyc", "2");
    return {};
  };
  const auto layer = store.make_layer(kKey, "a layer", fill);
  ASSERT_TRUE(layer);
  const std::vector<std::string> paths = {layer->path()};
  for (int again = 0; again < 2; ++again) {
    const auto made = InputTrees(directory_, {.names = {"__pycache__"}}).layers(paths);
    ASSERT_TRUE(made);
    EXPECT_EQ(listed(*made->top), (Names{"lib/", "lib/module.py"}));
  }
  EXPECT_EQ(listed(*InputTrees(directory_).layers(paths)->top),
            (Names{"lib/", "lib/__pycache__/", "lib/__pycache__/module.pyc", "lib/module.py"}));
}

}  // namespace
}  // namespace casemate
