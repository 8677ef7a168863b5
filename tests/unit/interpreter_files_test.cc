// What of an interpreter is not sent.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "action/input_trees.h"
#include "action/interpreter_files.h"
#include "store_scratch.h"

namespace casemate {
namespace {

TEST(InterpreterFiles, what_nothing_runs_from_stays) {
  for (const char* path :
       {"include", "share/man", "conda-meta", "pkgs", "lib/libpython3.11.a", "lib/pkgconfig", "lib/python3.11/test",
        "lib/python3.11/unittest/test", "lib/python3.11/idlelib/idle_test", "lib/python3.11/config-3.11-x86_64-linux-gnu",
        "lib/python3.11/__pycache__/os.cpython-311.opt-1.pyc", "lib/python3.11/site-packages/a/__pycache__/b.cpython-311.opt-2.pyc"})
    EXPECT_TRUE(runs_without(path, true)) << path;
}

TEST(InterpreterFiles, what_it_runs_from_goes) {
  for (const char* path : {"bin",
                           "bin/python3.11",
                           "lib",
                           "lib64",
                           "pyvenv.cfg",
                           "lib/libpython3.11.so.1.0",
                           "lib/python3.11",
                           "lib/python3.11/os.py",
                           "lib/python3.11/__pycache__/os.cpython-311.pyc",
                           "lib/python3.11/lib-dynload/_ssl.so",
                           "lib/python3.11/site-packages",
                           "lib/python3.11/site-packages/numpy/tests/test_a.py",
                           "lib/python3.11/site-packages/a/include/a.h",
                           "lib/tcl8.6",
                           "share",
                           "share/terminfo",
                           "ssl",
                           "envs",
                           "etc",
                           "include2"})
    EXPECT_FALSE(runs_without(path, true)) << path;
}

TEST(InterpreterFiles, packages_only_where_they_are_used) {
  EXPECT_TRUE(runs_without("lib/python3.11/site-packages", false));
  EXPECT_FALSE(runs_without("lib/python3.11/lib-dynload", false));
}

class InterpreterPrefix : public StoreScratch {};

TEST_F(InterpreterPrefix, is_known_by_its_library_or_its_configuration) {
  const std::string prefix = directory_ + "/prefix";
  fs::create_directories(prefix + "/lib/python3.11/test");
  EXPECT_FALSE(is_interpreter_prefix(prefix));
  spill(prefix + "/lib/python3.11/os.py", "os");
  EXPECT_TRUE(is_interpreter_prefix(prefix));
  fs::create_directories(directory_ + "/venv");
  EXPECT_FALSE(is_interpreter_prefix(directory_ + "/venv"));
  spill(directory_ + "/venv/pyvenv.cfg", "");
  EXPECT_TRUE(is_interpreter_prefix(directory_ + "/venv"));

  spill(prefix + "/lib/python3.11/test/big.py", "big");
  fs::create_directories(prefix + "/bin");
  spill(prefix + "/bin/python3", "python");
  fs::create_directories(prefix + "/lib/python3.11/site-packages");
  spill(prefix + "/lib/python3.11/site-packages/a.py", "a");
  std::size_t read = 0;
  InputTrees trees("", {}, [&](std::uint64_t) { ++read; });
  const auto whole = trees.interpreter(prefix, true);
  ASSERT_TRUE(whole) << whole.error().what;
  const auto& library = *whole->top->directories.at("lib")->directories.at("python3.11");
  EXPECT_TRUE(library.files.contains("os.py"));
  EXPECT_TRUE(library.directories.contains("site-packages"));
  EXPECT_FALSE(library.directories.contains("test"));
  EXPECT_EQ(read, 3u);
  const auto bare = trees.interpreter(prefix, false);
  ASSERT_TRUE(bare);
  EXPECT_FALSE(bare->top->directories.at("lib")->directories.at("python3.11")->directories.contains("site-packages"));
}

}  // namespace
}  // namespace casemate
