// Where scripts' names lead.
#include "runtime/script_path.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <stdlib.h>

namespace casemate::runtime {
namespace {

namespace fs = std::filesystem;

class ScriptPath : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-path-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    before_ = fs::current_path();
    fs::current_path(directory_);
  }
  void TearDown() override {
    fs::current_path(before_);
    fs::remove_all(directory_);
  }
  std::string make(const std::string& path) const {
    fs::create_directories((fs::path(directory_) / path).parent_path());
    std::ofstream file(path);
    return (fs::path(directory_) / path).string();
  }
  std::string directory_;
  fs::path before_;
};

TEST_F(ScriptPath, directories_are_looked_in_in_their_order) {
  const std::string last = make("dockers/xgboost_atoz/scripts/x.py");
  EXPECT_EQ(find_script("x"), last);
  const std::string second = make("scripts/x.py");
  EXPECT_EQ(find_script("x"), second);
  const std::string first = make("src/cursus/steps/scripts/x.py");
  EXPECT_EQ(find_script("x.py"), first);
  const std::string own = make("mine/x.py");
  EXPECT_EQ(find_script("x", {"nowhere", "mine"}), own);
  EXPECT_EQ(find_script("x", {directory_ + "/mine"}), own);
}

TEST_F(ScriptPath, a_name_with_a_slash_is_a_path_too) {
  const std::string here = make("sub/y.py");
  EXPECT_EQ(find_script("sub/y"), here);
  EXPECT_EQ(find_script("./sub/y.py"), here);
  EXPECT_EQ(find_script(here), here);
  make("z.py");
  EXPECT_FALSE(find_script("z"));
}

TEST_F(ScriptPath, only_files_and_links_to_them_are_scripts) {
  fs::create_directories("scripts/d.py");
  const std::string real = make("scripts/real.py");
  fs::create_symlink("real.py", "scripts/link.py");
  fs::create_symlink("nothing.py", "scripts/broken.py");
  EXPECT_FALSE(find_script("d"));
  EXPECT_FALSE(find_script("broken"));
  EXPECT_EQ(find_script("link"), directory_ + "/scripts/link.py");
  make("scripts/__init__.py");
  make("scripts/notes.txt");
  EXPECT_EQ(scripts_there(), (std::vector<std::string>{"link", "real"}));
}

TEST_F(ScriptPath, what_is_not_there_is_named) {
  const auto missing = find_script("nonexistent_script");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  const std::string looked = " (looked in src/cursus/steps/scripts, scripts, dockers/xgboost_atoz/scripts)";
  EXPECT_EQ(missing.error().what, "Script not found: nonexistent_script" + looked);
  EXPECT_EQ(find_script("a\x1b[2J\n").error().what, "Script not found: a\\x1b[2J\\n" + looked);
  EXPECT_EQ(find_script("/nowhere/x").error().what, "Script not found: /nowhere/x");
  make("mine/preprocessing.py");
  EXPECT_EQ(find_script("preprocesing.py", {"none", "mine"}).error().what,
            "Script not found: preprocesing.py, did you mean 'preprocessing'? (looked in none, which does not exist, mine, "
            "src/cursus/steps/scripts, scripts, dockers/xgboost_atoz/scripts)");
  EXPECT_EQ(find_script(std::string(5000, 'x')).error().code, ErrorCode::not_found);
  for (const std::string& name : {std::string(""), std::string("a\0b", 3), std::string("../x"), std::string("a/../x"), std::string("..")})
    EXPECT_EQ(find_script(name).error().code, ErrorCode::invalid_input) << name;
  make("scripts/a..b.py");
  EXPECT_TRUE(find_script("a..b"));
  EXPECT_EQ(scripts_there({"none"}), std::vector<std::string>{"a..b"});
}

}  // namespace
}  // namespace casemate::runtime
