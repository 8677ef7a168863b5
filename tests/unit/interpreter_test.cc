#include "image/interpreter.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace casemate {
namespace {

namespace fs = std::filesystem;

// A cache directory of its own for each test, and the variables it changes put back.
class Interpreters : public ::testing::Test {
 protected:
  Interpreters() {
    char name[] = "/tmp/casemate-interpreter-XXXXXX";
    root_ = ::mkdtemp(name);
    set("CASEMATE_CACHE_DIR", root_ + "/cache");
  }
  ~Interpreters() override {
    for (const auto& [name, value] : saved_) value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
    fs::remove_all(root_);
  }
  void set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    saved_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  // A program that answers the probe as `version` would, and counts its runs.
  std::string fake(const std::string& path, const std::string& version) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << fmt::format(
        "#!/bin/sh\necho run >> {0}/runs\nprintf 'python\\n{1}\\n{2}\\n{3}\\nlib/site-packages\\nfake {2}\\n'\n", root_, path, version,
        fs::path(path).parent_path().parent_path().string());
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  int runs() {
    std::ifstream file(root_ + "/runs");
    int lines = 0;
    for (std::string line; std::getline(file, line);) ++lines;
    return lines;
  }
  std::string root_;
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
};

TEST_F(Interpreters, finds_a_real_python) {
  if (!fs::exists("/usr/bin/python3")) GTEST_SKIP() << "no /usr/bin/python3";
  const auto found = find_interpreter("/usr/bin/python3");
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->path, fs::canonical("/usr/bin/python3").string());
  EXPECT_EQ(found->prefix, "/usr");
  EXPECT_EQ(found->version.substr(0, 2), "3.");
  EXPECT_NE(found->site_packages.find("site-packages"), std::string::npos);
  EXPECT_NE(found->identity.find(found->path), std::string::npos);
  EXPECT_TRUE(interpreter_mounts(*found, {"/usr"}).empty());
}

TEST_F(Interpreters, asks_a_program_once_and_again_when_it_changes) {
  const std::string program = fake(root_ + "/a/bin/python3", "3.12.1");
  const auto first = find_interpreter(program);
  ASSERT_TRUE(first) << first.error().what;
  EXPECT_EQ(first->version, "3.12.1");
  ASSERT_TRUE(find_interpreter(program));
  EXPECT_EQ(runs(), 1);
  fake(program, "3.12.22");
  const auto second = find_interpreter(program);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->version, "3.12.22");
  EXPECT_NE(second->identity, first->identity);
  EXPECT_EQ(runs(), 2);
}

TEST_F(Interpreters, a_damaged_cache_costs_only_a_probe) {
  const std::string program = fake(root_ + "/a/bin/python3", "3.12.1");
  ASSERT_TRUE(find_interpreter(program));
  std::string text;
  std::getline(std::ifstream(root_ + "/cache/interpreters"), text, '\0');
  text.replace(text.rfind("3.12.1"), 6, "3.12.9");
  std::ofstream(root_ + "/cache/interpreters") << text;
  const auto found = find_interpreter(program);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->version, "3.12.1");
  EXPECT_EQ(runs(), 2);
}

TEST_F(Interpreters, follows_pyenv_to_the_version_it_would_choose) {
  for (const char* version : {"3.11.7", "3.11.12", "3.12.1"}) {
    fake(fmt::format("{}/pyenv/versions/{}/bin/python3", root_, version), version);
    fs::create_symlink("python3", fmt::format("{}/pyenv/versions/{}/bin/python{}", root_, version, std::string(version).substr(0, 4)));
  }
  for (const char* name : {"python3", "python3.11", "python3.12"}) fake(root_ + "/pyenv/shims/" + name, "3.99.9");
  std::ofstream(root_ + "/pyenv/version") << "3.12.1\n";
  set("PYENV_ROOT", root_ + "/pyenv");
  set("PYENV_VERSION", "");
  set("PATH", root_ + "/pyenv/shims");
  set("HOME", root_);
  EXPECT_EQ(find_interpreter("")->version, "3.12.1");
  EXPECT_EQ(find_interpreter("3.11")->version, "3.11.12");
  EXPECT_EQ(find_interpreter("3.11.7")->version, "3.11.7");
  set("PYENV_VERSION", "3.11.7");
  EXPECT_EQ(find_interpreter("")->version, "3.11.7");
  EXPECT_EQ(find_interpreter("3.11")->version, "3.11.7");
  const auto missing = find_interpreter("3.4");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().what.find("3.11.7, 3.11.12, 3.12.1"), std::string::npos) << missing.error().what;
  const auto found = find_interpreter("3.12");
  ASSERT_TRUE(found);
  const auto mounts = interpreter_mounts(*found, {"/usr"});
  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].source, root_ + "/pyenv/versions/3.12.1");
  EXPECT_FALSE(mounts[0].writable);
}

TEST_F(Interpreters, refuses_what_is_none) {
  EXPECT_EQ(find_interpreter("three").error().code, ErrorCode::invalid_input);
  EXPECT_EQ(find_interpreter("3..11").error().code, ErrorCode::invalid_input);
  EXPECT_EQ(find_interpreter("/nonexistent/python").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_interpreter("/etc/passwd").error().code, ErrorCode::invalid_input);
  EXPECT_EQ(find_interpreter("/bin/false").error().code, ErrorCode::invalid_input);
  EXPECT_EQ(find_interpreter("/bin/echo").error().code, ErrorCode::invalid_input);
}

}  // namespace
}  // namespace casemate
