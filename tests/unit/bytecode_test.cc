// Python's bytecode among the inputs: which is sent without a time, and what then can't be told apart any more.
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "action/bytecode.h"
#include "action/input_trees.h"
#include "action/kept_tree.h"
#include "base/digest.h"
#include "store_scratch.h"

namespace casemate {
namespace {

constexpr time_t kTime = 1'700'000'000;

std::string little_endian(std::uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

std::string bytecode(std::uint32_t time, std::uint32_t size, std::uint32_t flags = 0) {
  return std::string("\xa7\x0d\r\n", 4) + little_endian(flags) + little_endian(time) + little_endian(size) + "code";
}

class BytecodeTest : public StoreScratch {
 protected:
  void source(const std::string& layer, time_t time = kTime, const std::string& text = "1\n") {
    fs::create_directories(directory_ + "/" + layer + "/p/__pycache__");
    const std::string path = directory_ + "/" + layer + "/p/m.py";
    spill(path, text);
    const timespec times[2] = {{time, 0}, {time, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  void cache(const std::string& layer, const std::string& bytes, const std::string& name = "m.cpython-311.pyc") {
    spill(directory_ + "/" + layer + "/p/__pycache__/" + name, bytes);
  }
  // What is sent of one.
  InputDirectory::File sent(const std::vector<std::string>& layers, const std::string& name = "m.cpython-311.pyc") {
    std::vector<std::string> paths;
    for (const std::string& layer : layers) paths.push_back(directory_ + "/" + layer);
    InputTrees trees(directory_ + "/store");
    const auto tree = paths.size() == 1 ? trees.directory(paths.front()) : trees.layers(paths);
    EXPECT_TRUE(tree) << tree.error().what;
    return tree->top->directories.at("p")->directories.at("__pycache__")->files.at(name);
  }
  bool is_timeless(const std::string& layer) { return sent({layer}).blob.timeless; }
};

TEST(Bytecode, names) {
  EXPECT_EQ(source_of_bytecode("m.cpython-311.pyc"), "m.py");
  EXPECT_EQ(source_of_bytecode("__init__.cpython-313t.opt-2.pyc"), "__init__.py");
  EXPECT_EQ(source_of_bytecode("m.pypy310.pyc"), "m.py");
  for (const char* other : {"m.pyc", "m.py", ".cpython-311.pyc", "test_m.cpython-311-pytest-9.0.2.pyc", "test_m.cpython-311-pytest-9.pyc",
                            "m.cpython-311.opt-.pyc", "m.cpython-311.opt-1.2.pyc", "m.cpython-311.pyc.140", "m..pyc", ""})
    EXPECT_FALSE(source_of_bytecode(other)) << other;
}

TEST(Bytecode, headers) {
  const std::string header = bytecode(5, 7).substr(0, kBytecodeHeader);
  const auto timeless = header_without_time(header, 5 | 7ull << 32);
  ASSERT_TRUE(timeless);
  EXPECT_EQ(*timeless, std::string("\xa7\x0d\r\n\1\0\0\0\0\0\0\0\0\0\0\0", 16));
  EXPECT_FALSE(header_without_time(header, 6 | 7ull << 32));
  EXPECT_FALSE(header_without_time(header, 5 | 8ull << 32));
  EXPECT_FALSE(header_without_time(*timeless)) << "has none any more";
  EXPECT_FALSE(header_without_time(header.substr(1)));
  EXPECT_FALSE(header_without_time(std::string(16, '\0')));
}

TEST_F(BytecodeTest, the_time_is_in_no_digest) {
  source("one");
  cache("one", bytecode(kTime, 2));
  source("other", kTime + 10);
  cache("other", bytecode(kTime + 10, 2));
  const InputDirectory::File one = sent({"one"});
  EXPECT_TRUE(one.blob.timeless);
  EXPECT_EQ(one.blob.digest, sent({"other"}).blob.digest);
  std::string bytes = bytecode(kTime, 2);
  bytes.replace(0, kBytecodeHeader, *header_without_time(bytes.substr(0, kBytecodeHeader)));
  EXPECT_EQ(one.blob.digest.hash, sha256_hex(bytes));
  EXPECT_EQ(one.blob.digest.size, bytes.size());
}

TEST_F(BytecodeTest, of_another_source_it_stays_as_it_is) {
  const std::string stale = bytecode(kTime - 1, 2);
  for (const std::string& bytes : {stale, bytecode(kTime, 3), bytecode(kTime, 2, 1), bytecode(kTime, 2, 3), std::string("short")}) {
    source("x");
    cache("x", bytes);
    const InputDirectory::File file = sent({"x"});
    EXPECT_FALSE(file.blob.timeless);
    EXPECT_EQ(file.blob.digest.hash, sha256_hex(bytes));
  }
  fs::remove(directory_ + "/x/p/m.py");
  cache("x", bytecode(kTime, 2));
  EXPECT_FALSE(is_timeless("x")) << "without a source";
  fs::create_symlink("elsewhere.py", directory_ + "/x/p/m.py");
  EXPECT_FALSE(is_timeless("x"));
}

TEST_F(BytecodeTest, what_is_kept_of_it_ends_with_its_source) {
  source("x");
  cache("x", bytecode(kTime, 2));
  for (const std::string name : {"x/p/m.py", "x/p/__pycache__/m.cpython-311.pyc"}) set_age(directory_ + "/" + name, 10);
  source("x");  // settled is the bytecode alone
  EXPECT_TRUE(is_timeless("x"));
  EXPECT_TRUE(is_timeless("x"));
  source("x", kTime + 1);
  EXPECT_FALSE(is_timeless("x")) << "written again";
  source("x", kTime, "22\n");
  EXPECT_FALSE(is_timeless("x")) << "of another size";
  source("x");
  EXPECT_TRUE(is_timeless("x"));
}

TEST_F(BytecodeTest, a_source_in_another_layer_is_not_its_own) {
  source("lower");
  cache("lower", bytecode(kTime, 2));
  source("upper", kTime, "2\n");
  EXPECT_FALSE(sent({"upper", "lower"}).blob.timeless);
  fs::remove(directory_ + "/upper/p/m.py");
  EXPECT_TRUE(sent({"upper", "lower"}).blob.timeless);
}

TEST_F(BytecodeTest, a_kept_tree_has_it_too) {
  Store store = open();
  const auto layer = store.make_layer(kKey, "a layer", [](const std::string& into) -> Result<void> {
    fs::create_directories(into + "/p/__pycache__");
    spill(into + "/p/m.py", "1\n");
    struct stat info{};
    ::stat((into + "/p/m.py").c_str(), &info);
    spill(into + "/p/__pycache__/m.cpython-311.pyc", bytecode(static_cast<std::uint32_t>(info.st_mtime), 2));
    return {};
  });
  ASSERT_TRUE(layer);
  const auto made = InputTrees(directory_).layers({layer->path()});
  ASSERT_TRUE(made);
  const InputDirectoryPtr kept = kept_tree(directory_, std::vector{layer->path()});
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->digest, made->top->digest);
  EXPECT_TRUE(kept->directories.at("p")->directories.at("__pycache__")->files.at("m.cpython-311.pyc").blob.timeless);
  EXPECT_FALSE(kept->directories.at("p")->files.at("m.py").blob.timeless);
}

}  // namespace
}  // namespace casemate
