#include "apps/show/show.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "report/history_sink.h"
#include "said.h"
#include "sample_run.h"
#include "store/tree.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

Said show(const std::vector<std::string>& arguments) { return said_by(show_main, arguments); }

class ShowApp : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-show-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    project_ = directory_ + "/project";
    fs::create_directories(project_ + "/deep/er");
    ::setenv("CASEMATE_STATE_DIR", name, 1);
    TestHistory tests = TestHistory::open(directory_).value();
    for (int i = 0; i < 2; ++i) {
      HistorySink sink(tests, {.directory = directory_});
      play_sample_run(sink, project_);
    }
  }
  void TearDown() override {
    ::unsetenv("CASEMATE_STATE_DIR");
    EXPECT_TRUE(remove_tree(directory_));
  }
  std::string directory_;
  std::string project_;
};

TEST_F(ShowApp, prints_failures_and_summary_of_the_last_run) {
  const Said said = show({project_});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("assert 1 == 2"), std::string::npos) << said.out;
  EXPECT_NE(said.out.find("Fatal Python error"), std::string::npos);
  EXPECT_NE(said.out.find("3 passed"), std::string::npos);
  EXPECT_EQ(said.out.find("test_ok"), std::string::npos);
  EXPECT_EQ(said.out.find('\x1b'), std::string::npos);
  EXPECT_NE(show({"-v", project_}).out.find("test_ok"), std::string::npos);
}

TEST_F(ShowApp, finds_the_project_upwards) {
  EXPECT_EQ(show({project_ + "/deep/er"}).code, 0);
  const Said said = show({directory_});
  EXPECT_EQ(said.code, 1);
  EXPECT_TRUE(said.err.starts_with("casemate show: no run of tests in ")) << said.err;
}

TEST_F(ShowApp, prints_the_events) {
  const Said said = show({"--json", project_});
  EXPECT_EQ(said.code, 0);
  EXPECT_TRUE(said.out.starts_with("{\"event\":\"run_started\",")) << said.out.substr(0, 80);
  EXPECT_NE(said.out.find("\n{\"event\":\"run_finished\","), std::string::npos);
}

TEST_F(ShowApp, writes_reports) {
  const Said said = show({"--html", directory_ + "/page.html", "--junit-xml", directory_ + "/junit.xml", project_});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "");
  EXPECT_GT(fs::file_size(directory_ + "/page.html"), 10'000u);
  EXPECT_GT(fs::file_size(directory_ + "/junit.xml"), 1000u);
  const Said refused = show({"--html", directory_, project_});
  EXPECT_EQ(refused.code, 125);
  EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
}

TEST_F(ShowApp, a_damaged_record_is_one_line) {
  const fs::path log = fs::directory_iterator(directory_ + "/tests")->path();
  fs::resize_file(log, fs::file_size(log) / 2);
  const Said said = show({project_});
  EXPECT_EQ(said.code, 125);
  EXPECT_TRUE(said.err.starts_with("casemate show: the last run of ")) << said.err;
  EXPECT_EQ(std::count(said.err.begin(), said.err.end(), '\n'), 1) << said.err;
}

TEST_F(ShowApp, wrong_usage_is_125) {
  EXPECT_EQ(show({"--nonsense"}).code, 125);
  EXPECT_EQ(show({"a", "b"}).code, 125);
  EXPECT_NE(show({"--help"}).out.find("casemate show --html"), std::string::npos);
}

}  // namespace
}  // namespace casemate
