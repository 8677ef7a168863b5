// staging and results: real files in a directory of the test's own.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/script/results.h"
#include "apps/script/staged.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

class ScriptFiles : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-script-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    before_ = fs::current_path();
    fs::create_directories(root_ / "stage");
    fs::create_directories(root_ / "work");
    fs::current_path(root_ / "work");
    write("s.py", "print(1)\n");
    write("r.txt", "");
  }
  void TearDown() override {
    fs::current_path(before_);
    fs::remove_all(root_);
  }
  static void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  static std::string read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  Result<Staged> stage(std::vector<std::string> inputs, const std::string& script = "s.py", const std::string& requirements = "r.txt") {
    ScriptRequest request;
    request.script = script;
    request.requirements = requirements;
    request.inputs = std::move(inputs);
    fs::remove_all(root_ / "stage");
    fs::create_directories(root_ / "stage");
    return stage_files(request, root_ / "stage");
  }
  std::string problem(std::vector<std::string> inputs, ErrorCode code) {
    const auto staged = stage(std::move(inputs));
    EXPECT_FALSE(staged);
    if (staged) return "";
    EXPECT_EQ(staged.error().code, code) << staged.error().what;
    return staged.error().what;
  }
  static Result<std::string> renew(const std::string& directory, std::vector<std::string> needed = {}) {
    TRY_ASSIGN(Results made, renew_results(directory, needed));
    return made.directory;
  }

  fs::path root_;
  fs::path before_;
};

TEST_F(ScriptFiles, files_lie_under_their_base_names) {
  fs::create_directories("deep/er");
  write("deep/er/a.csv", "1,2\n");
  write("b", std::string("\0\xff", 2));
  const auto staged = stage({"deep/er/a.csv", (root_ / "work/b").string()});
  ASSERT_TRUE(staged) << staged.error().what;
  EXPECT_EQ(staged->script, "s.py");
  EXPECT_EQ(staged->requirements, (root_ / "work/r.txt").string());
  EXPECT_EQ(read(root_ / "stage/app/a.csv"), "1,2\n");
  EXPECT_EQ(read(root_ / "stage/app/b"), std::string("\0\xff", 2));
  EXPECT_FALSE(fs::exists(root_ / "stage/app/r.txt"));
}

TEST_F(ScriptFiles, directories_come_whole_with_links_as_links) {
  fs::create_directories("data/sub");
  write("data/sub/x", "x");
  fs::create_symlink("/etc/passwd", "data/link");
  ASSERT_EQ(::mkfifo("data/fifo", 0600), 0);
  const auto staged = stage({"data/"});
  ASSERT_TRUE(staged) << staged.error().what;
  EXPECT_EQ(read(root_ / "stage/app/data/sub/x"), "x");
  EXPECT_EQ(fs::read_symlink(root_ / "stage/app/data/link"), "/etc/passwd");
  EXPECT_FALSE(fs::exists(fs::symlink_status(root_ / "stage/app/data/fifo")));
  ASSERT_EQ(staged->skipped.size(), 1u);
  EXPECT_NE(staged->skipped[0].find("fifo"), std::string::npos);
}

TEST_F(ScriptFiles, the_current_directory_has_a_name) {
  const auto staged = stage({"."});
  ASSERT_TRUE(staged) << staged.error().what;
  EXPECT_TRUE(fs::exists(root_ / "stage/app/work/s.py"));
}

TEST_F(ScriptFiles, a_directory_that_holds_the_stage_does_not_copy_it_into_itself) {
  const auto staged = stage({root_.string()});
  ASSERT_TRUE(staged) << staged.error().what;
  EXPECT_TRUE(fs::exists(root_ / "stage/app" / root_.filename() / "work/s.py"));
  EXPECT_FALSE(fs::exists(root_ / "stage/app" / root_.filename() / "stage/app"));
}

TEST_F(ScriptFiles, holes_stay_holes) {
  write("sparse", "");
  fs::resize_file("sparse", 1ull << 30);
  std::ofstream("sparse", std::ios::binary | std::ios::in | std::ios::out).seekp(512 << 20).write("mid", 3);
  ASSERT_TRUE(stage({"sparse"}));
  struct stat info{};
  ASSERT_EQ(::stat((root_ / "stage/app/sparse").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 1 << 30);
  EXPECT_LT(info.st_blocks * 512, 1 << 20);
  std::ifstream copy(root_ / "stage/app/sparse", std::ios::binary);
  copy.seekg(512 << 20);
  char mid[3];
  copy.read(mid, 3);
  EXPECT_EQ(std::string(mid, 3), "mid");
}

TEST_F(ScriptFiles, symlinks_that_the_user_names_are_followed) {
  write("real", "r");
  fs::create_symlink("real", "named");
  ASSERT_TRUE(stage({"named"}));
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(root_ / "stage/app/named")));
}

TEST_F(ScriptFiles, one_name_twice_is_refused_unless_it_is_one_file) {
  fs::create_directories("other");
  write("a", "1");
  write("other/a", "2");
  EXPECT_NE(problem({"a", "other/a"}, ErrorCode::invalid_input).find("would both be /app/a"), std::string::npos);
  EXPECT_TRUE(stage({"a", "./a", "s.py"}));
}

TEST_F(ScriptFiles, unusable_files_are_named) {
  EXPECT_EQ(problem({"gone"}, ErrorCode::not_found), "--inputs gone: no such file");
  EXPECT_EQ(problem({""}, ErrorCode::not_found), "--inputs : no such file");
  EXPECT_EQ(problem({"s.py/x"}, ErrorCode::not_found), "--inputs s.py/x: no such file");
  ASSERT_EQ(::mkfifo("fifo", 0600), 0);
  EXPECT_EQ(problem({"fifo"}, ErrorCode::not_found), "--inputs fifo: is not a regular file");
  EXPECT_EQ(problem({"new\nline"}, ErrorCode::not_found), "--inputs new\\nline: no such file");
  EXPECT_EQ(stage({}, "gone.py").error().what, "--script gone.py: no such file");
  EXPECT_EQ(stage({}, ".").error().what, "--script .: is a directory, not a file");
  EXPECT_EQ(stage({}, "s.py", ".").error().what, "--reqs .: is a directory, not a file");
  if (::geteuid() != 0) {
    write("shut", "");
    ::chmod("shut", 0);
    EXPECT_EQ(problem({"shut"}, ErrorCode::not_found), "--inputs shut: can't be read: permission denied");
  }
}

TEST_F(ScriptFiles, dev_null_means_no_requirements) {
  const auto staged = stage({}, "s.py", "/dev/null");
  ASSERT_TRUE(staged) << staged.error().what;
  EXPECT_EQ(fs::file_size(staged->requirements), 0u);
}

TEST_F(ScriptFiles, a_directory_with_other_files_is_never_deleted_unless_it_is_results) {
  fs::create_directories("thesis");
  write("thesis/chapter1", "years of work");
  const auto refused = renew("thesis");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_input);
  EXPECT_NE(refused.error().what.find("no earlier run"), std::string::npos) << refused.error().what;
  EXPECT_EQ(read("thesis/chapter1"), "years of work");
  fs::create_directories("other/results");
  write("other/results/precious", "x");
  EXPECT_FALSE(renew("other/results")) << "only that of the current directory is the documented one";
  EXPECT_EQ(read("other/results/precious"), "x");
  fs::create_directories("empty");
  EXPECT_TRUE(renew("empty"));
  ASSERT_TRUE(renew("made"));
  write("made/captured", "x");
  EXPECT_TRUE(renew("made")) << "what an earlier run made";
  EXPECT_TRUE(fs::is_empty("made"));
  fs::create_directories("results");
  write("results/anything", "x");
  EXPECT_TRUE(renew("results"));
  EXPECT_TRUE(fs::is_empty("results"));
}

TEST_F(ScriptFiles, results_are_made_anew) {
  EXPECT_EQ(renew("results").value(), (root_ / "work/results").string());
  fs::create_directories("results/a/b");
  write("results/a/b/c", "old");
  fs::create_symlink(root_ / "work/s.py", "results/link");
  fs::create_directory_symlink(root_ / "stage", "results/directory_link");
  EXPECT_TRUE(renew("./results/"));
  EXPECT_TRUE(fs::is_empty("results"));
  EXPECT_TRUE(fs::exists("s.py"));
  EXPECT_TRUE(fs::exists(root_ / "stage"));
}

TEST_F(ScriptFiles, results_are_one_runs_at_a_time) {
  for (const char* name : {"results", "elsewhere"}) {
    auto first = renew_results(name, {});
    ASSERT_TRUE(first) << first.error().what;
    ASSERT_TRUE(first->lock);
    write(std::string(name) + "/captured", "of the first");
    const auto second = renew_results(name, {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::refused);
    EXPECT_NE(second.error().what.find(std::string("another run is writing to ") + name), std::string::npos) << second.error().what;
    EXPECT_EQ(read(std::string(name) + "/captured"), "of the first");
    first->lock.reset();
    EXPECT_TRUE(renew(name));
    EXPECT_TRUE(fs::is_empty(name));
  }
}

// Each of many at once either has the directory for itself or is told: never two at a time, and no other failure.
TEST_F(ScriptFiles, a_race_for_the_results_has_one_winner) {
  std::atomic<int> holders = 0, won = 0;
  std::atomic<bool> shared = false;
  std::vector<std::string> complaints(4);
  {
    std::vector<std::jthread> runs;
    for (std::string& complaint : complaints) {
      runs.emplace_back([&] {
        for (int i = 0; i < 200; ++i) {
          const auto results = renew_results("results", {});
          if (results) {
            if (++holders > 1) shared = true;
            ++won;
            if (!fs::is_empty(results->directory)) shared = true;
            std::ofstream(results->directory + "/captured") << "x";
            --holders;
          } else if (results.error().what.find("another run is writing") == std::string::npos) {
            complaint = results.error().what;
          }
        }
      });
    }
  }
  EXPECT_FALSE(shared);
  EXPECT_GT(won, 0);
  EXPECT_EQ(complaints, std::vector<std::string>(4));
}

TEST_F(ScriptFiles, results_refuse_what_was_not_meant) {
  fs::create_directory_symlink(root_ / "stage", "link");
  fs::create_directories("inner/here");
  fs::create_directories("repository/.git");
  write("inner/input.csv", "");
  for (const std::string name : {"link", "link/", "s.py", ".", "..", "../work", "/", "inner/..", "/proc", "repository", root_.c_str()}) {
    const auto made = renew(name);
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code, ErrorCode::invalid_input) << name;
    EXPECT_NE(made.error().what.find("--results"), std::string::npos) << made.error().what;
  }
  EXPECT_FALSE(renew("inner", {"inner/input.csv"}));
  EXPECT_TRUE(fs::exists("inner/input.csv"));
  EXPECT_TRUE(fs::exists("s.py"));
  EXPECT_EQ(renew("missing/results").error().code, ErrorCode::not_found);
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  ::setenv("HOME", (root_ / "work/inner/here").c_str(), 1);
  fs::remove("inner/input.csv");
  const auto holds_home = renew("inner");
  ASSERT_FALSE(holds_home);
  EXPECT_NE(holds_home.error().what.find("home"), std::string::npos) << holds_home.error().what;
  ::setenv("HOME", home.c_str(), 1);
  fs::remove("inner/here");
  EXPECT_TRUE(renew("inner"));
}

}  // namespace
}  // namespace casemate
