#include "store/code_digest.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "store/tree.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

class CodeDigestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-code-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    top_ = name;
    place_.directory = top_ + "/project";
    fs::create_directory(place_.directory);
    write("code.py", "x = 1\n");
    write("test_code.py", "def test(): assert 1\n");
    write("data/cases.txt", "1 2 3\n");
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(top_)); }

  std::string path(const std::string& file) const { return place_.directory + "/" + file; }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories(fs::path(path(file)).parent_path());
    std::ofstream(path(file)) << text;
  }
  // As on a day when nobody has edited anything: a file of another time is read again.
  void age(const std::string& file) const { fs::last_write_time(path(file), fs::file_time_type::clock::now() - std::chrono::hours(1)); }
  static void git_in(const std::string& directory, std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"git", "-C", directory, "-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "init.defaultBranch=main"});
    const auto ran = run_program(words, std::chrono::seconds(60));
    ASSERT_TRUE(ran && ran->end.code == 0) << (ran ? ran->err : ran.error().what);
  }
  void git(const std::vector<std::string>& words) const { git_in(place_.directory, words); }
  void commit_all() const {
    git({"init", "--quiet"});
    git({"add", "--all"});
    git({"commit", "--quiet", "--message=all"});
  }
  std::string digest() const {
    const auto found = code_digest(place_);
    return found ? *found : found.error().what;
  }

  std::string top_;
  CodePlace place_;
};

TEST_F(CodeDigestTest, in_git_it_is_the_content_whatever_is_staged_or_committed) {
  git({"init", "--quiet"});
  const std::string untracked = digest();
  EXPECT_EQ(untracked.substr(0, 4), "git:");
  EXPECT_EQ(untracked.size(), 4u + 64);
  git({"add", "--all"});
  EXPECT_EQ(digest(), untracked);
  commit_all();
  EXPECT_EQ(digest(), untracked);

  write("code.py", "x = 2\n");
  const std::string edited = digest();
  EXPECT_NE(edited, untracked);
  git({"commit", "--quiet", "--all", "--message=edited"});
  EXPECT_EQ(digest(), edited);
  write("code.py", "x = 1\n");
  age("code.py");
  EXPECT_EQ(digest(), untracked) << "as it was, at another time";
}

TEST_F(CodeDigestTest, in_git_every_file_counts_that_is_not_ignored) {
  write(".gitignore", "*.log\n/out/\n");
  commit_all();
  const std::string before = digest();
  write("run.log", "1");
  write("out/generated.py", "1");
  EXPECT_EQ(digest(), before);

  write("new.txt", "1");
  const std::string with_new = digest();
  EXPECT_NE(with_new, before);
  write("new.txt", "2");
  EXPECT_NE(digest(), with_new);
  fs::remove(path("new.txt"));
  EXPECT_EQ(digest(), before);

  fs::permissions(path("code.py"), fs::perms::owner_exec, fs::perm_options::add);
  EXPECT_NE(digest(), before);
  fs::permissions(path("code.py"), fs::perms::owner_exec, fs::perm_options::remove);
  EXPECT_EQ(digest(), before);
  fs::rename(path("data/cases.txt"), path("data/other.txt"));
  EXPECT_NE(digest(), before);
  fs::remove(path("data/other.txt"));
  EXPECT_NE(digest(), before);
  fs::create_symlink("../code.py", path("data/cases.txt"));
  const std::string linked = digest();
  EXPECT_NE(linked, before);
  fs::remove(path("data/cases.txt"));
  fs::create_symlink("../test_code.py", path("data/cases.txt"));
  EXPECT_NE(digest(), linked);
}

TEST_F(CodeDigestTest, what_tools_and_the_run_itself_leave_does_not_count) {
  commit_all();
  const std::string before = digest();
  write(".coverage", "1");
  write("__pycache__/code.cpython-311.pyc", "1");
  write("env/pyvenv.cfg", "home = /usr/bin\n");
  write("env/lib/a.py", "1");
  EXPECT_EQ(digest(), before);
  write("report.xml", "1");
  EXPECT_NE(digest(), before);
  place_.without = {path("x.xml"), path("report.xml")};
  EXPECT_EQ(digest(), before);
}

TEST_F(CodeDigestTest, no_program_of_the_repository_is_run_and_nothing_written) {
  write(".gitattributes", "*.py filter=spy\n");
  commit_all();
  write(".git/hooks/post-index-change", "#!/bin/sh\ntouch " + top_ + "/hook\n");
  fs::permissions(path(".git/hooks/post-index-change"), fs::perms::all);
  git({"config", "filter.spy.clean", "touch " + top_ + "/filter; cat"});
  git({"config", "filter.spy.required", "true"});
  write("monitor", "#!/bin/sh\ntouch " + top_ + "/monitor\n");
  fs::permissions(path("monitor"), fs::perms::all);
  git({"config", "core.fsmonitor", path("monitor")});
  // The index is as young as the file in it, so that git has to look into the file.
  age("code.py");
  git({"update-index", "--refresh"});
  fs::last_write_time(path(".git/index"), fs::file_time_type::clock::now() - std::chrono::hours(1));
  for (const char* spy : {"/hook", "/filter", "/monitor"}) fs::remove(top_ + spy);

  const std::string index = read_file(path(".git/index")).value();
  const auto written = fs::last_write_time(path(".git/index"));
  EXPECT_EQ(digest().substr(0, 4), "git:");
  EXPECT_EQ(read_file(path(".git/index")).value(), index);
  EXPECT_EQ(fs::last_write_time(path(".git/index")), written);
  for (const char* spy : {"/hook", "/filter", "/monitor"}) EXPECT_FALSE(fs::exists(top_ + spy)) << spy;

  git({"status"});
  for (const char* spy : {"/filter", "/monitor"}) EXPECT_TRUE(fs::exists(top_ + spy)) << spy << " is no spy";
}

TEST_F(CodeDigestTest, repositories_inside_count_by_their_files) {
  commit_all();
  const std::string alone = digest();
  write("inner/inner.py", "1");
  git_in(path("inner"), {"init", "--quiet"});
  git_in(path("inner"), {"add", "--all"});
  git_in(path("inner"), {"commit", "--quiet", "--message=inner"});
  const std::string untracked = digest();
  EXPECT_EQ(untracked.substr(0, 4), "git:");
  EXPECT_NE(untracked, alone);
  git({"-c", "advice.addEmbeddedRepo=false", "add", "inner"});
  const std::string tracked = digest();
  write("inner/inner.py", "22");
  EXPECT_NE(digest(), tracked);
}

TEST_F(CodeDigestTest, without_git_python_and_settings_count_by_their_times) {
  const std::string before = digest();
  EXPECT_EQ(before.substr(0, 6), "files:");
  write("data/cases.txt", "4");
  write(".hidden/a.py", "1");
  write("__pycache__/a.py", "1");
  write("env/pyvenv.cfg", "");
  write("env/a.py", "1");
  EXPECT_EQ(digest(), before);
  age("code.py");
  const std::string other = digest();
  EXPECT_NE(other, before);
  write("pytest.ini", "[pytest]\n");
  EXPECT_NE(digest(), other);
  write("sub/deep/a.py", "1");
  const std::string deep = digest();
  write("sub/deep/a.py", "11");
  EXPECT_NE(digest(), deep);
}

TEST_F(CodeDigestTest, a_repository_that_git_does_not_read_is_taken_without_it_and_none_around_it_instead) {
  git_in(top_, {"init", "--quiet"});
  write(".git", "nonsense");
  EXPECT_EQ(digest().substr(0, 6), "files:");
}

TEST_F(CodeDigestTest, variables_of_a_git_hook_do_not_lead_elsewhere) {
  commit_all();
  const std::string before = digest();
  ::setenv("GIT_DIR", "/nowhere", 1);
  ::setenv("GIT_INDEX_FILE", "/nowhere", 1);
  EXPECT_EQ(digest(), before);
  ::unsetenv("GIT_DIR");
  ::unsetenv("GIT_INDEX_FILE");
}

TEST_F(CodeDigestTest, names_of_installed_packages_count) {
  place_.installed = {top_ + "/site-packages"};
  fs::create_directories(top_ + "/site-packages/pytest-8.0.dist-info");
  const std::string before = digest();
  fs::create_directories(top_ + "/site-packages/pytest-8.1.dist-info");
  EXPECT_NE(digest(), before);
}

TEST_F(CodeDigestTest, says_why_there_is_none) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(code_digest(place_, stop.get_token()).error().code, ErrorCode::refused);
  commit_all();
  EXPECT_EQ(code_digest(place_, stop.get_token()).error().code, ErrorCode::refused);
  place_.directory = top_ + "/nowhere";
  EXPECT_EQ(code_digest(place_).error().code, ErrorCode::not_found);
}

TEST_F(CodeDigestTest, a_survey_beside_a_run_says_the_same) {
  commit_all();
  CodeSurvey survey(place_, {.patience = std::chrono::minutes(1), .fresh = std::chrono::hours(1)});
  EXPECT_EQ(survey.end(), "") << "it has not begun";
  survey.begin();
  EXPECT_EQ(survey.end(), digest());
  const std::string before = digest();
  write("code.py", "x = 2\n");
  survey.begin();
  EXPECT_EQ(survey.end(), before) << "a moment later it is not looked at again";
}

TEST_F(CodeDigestTest, code_that_was_edited_while_it_ran_is_not_known) {
  commit_all();
  CodeSurvey survey(place_, {.patience = std::chrono::minutes(1), .fresh = std::chrono::milliseconds(0)});
  survey.begin();
  EXPECT_EQ(survey.end(), digest());
  write("code.py", "x = 2\n");
  EXPECT_EQ(survey.end(), "");
  survey.begin();
  EXPECT_EQ(survey.end(), digest());
}

// By hand, --gtest_also_run_disabled_tests.
TEST_F(CodeDigestTest, DISABLED_costs_of_2000_files) {
  for (int i = 0; i < 2000; ++i)
    write("package/part" + std::to_string(i % 50) + "/module" + std::to_string(i) + ".py", std::string(5000, 'x'));
  const auto took = [this](const char* what) {
    double best = 1e9;
    for (int i = 0; i < 15; ++i) {
      const auto began = std::chrono::steady_clock::now();
      EXPECT_TRUE(code_digest(place_));
      best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
    }
    std::printf("%-40s %6.1f ms\n", what, best);
  };
  took("without git");
  git({"init", "--quiet"});
  took("git, all untracked");
  commit_all();
  took("git, clean");
  for (int i = 0; i < 20; ++i) write("package/part0/new" + std::to_string(i) + ".py", "1");
  took("git, 20 untracked files");
  for (int i = 0; i < 2000; ++i) age("package/part" + std::to_string(i % 50) + "/module" + std::to_string(i) + ".py");
  took("git, all files of another time");
}

}  // namespace
}  // namespace casemate
