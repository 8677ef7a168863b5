#include "report/html.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "report/html_row.h"
#include "sample_run.h"
#include "store/tree.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

TEST(PageText, loses_escape_sequences_and_shows_other_controls) {
  EXPECT_EQ(page_text("a\x1b[31mb\x1b[0mc"), "abc");
  EXPECT_EQ(page_text("a\x1b[38;5;12;4mb\x1b[?25hc\x1b[2Kd"), "abcd");
  EXPECT_EQ(page_text("a\x1b]0;title\x07z\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"), "azlink");
  EXPECT_EQ(page_text("a\x1b(Bb\x1b"
                      "7c"),
            "abc");
  EXPECT_EQ(page_text("10%\r20%\r\n30%\n"), "10%\n20%\n30%\n");
  EXPECT_EQ(page_text("a\x07\x01\xe2\x80\xae"), "a\\x07\\x01\\u{202e}");
  EXPECT_EQ(page_text("\x1b"), "");
  EXPECT_EQ(page_text("\x1b["), "");
  EXPECT_EQ(page_text("\x1b[\xff"), "\\xff");
  EXPECT_EQ(page_text("\x1b]unending"), "unending");
}

class HtmlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/casemate-html-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/page.html";
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(directory_)); }
  HtmlOptions options() const {
    HtmlOptions options;
    options.path = path_;
    return options;
  }
  std::string page() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  // All data blocks of a class, parsed.
  std::vector<nlohmann::json> blocks(const std::string& name) const {
    std::vector<nlohmann::json> all;
    const std::string text = page(), begin = "<script type=\"application/json\" class=\"" + name + "\">";
    for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
      at += begin.size();
      all.push_back(nlohmann::json::parse(text.substr(at, text.find("</script>", at) - at)));
    }
    return all;
  }
  std::string directory_;
  std::string path_;
};

TEST_F(HtmlTest, has_all_tests_and_nothing_of_a_test_is_markup) {
  HtmlReport report(options());
  EXPECT_EQ(play_sample_run(report), "");
  const auto rows = blocks("tests").at(0);
  EXPECT_EQ(rows.size(), 9u);
  EXPECT_EQ(rows[0][4], nullptr) << "a problem of collection ran in no slot";
  EXPECT_EQ(blocks("run").at(0)["command"], "pytest -k 'a b'");
  EXPECT_EQ(blocks("end").at(0)["notes"].size(), 1u);
  const std::string text = page();
  EXPECT_EQ(text.find("<img"), std::string::npos);
  EXPECT_EQ(text.find("<b>output"), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("default-src 'none'; script-src 'sha256-"), std::string::npos);
  EXPECT_TRUE(text.ends_with("</html>\n"));
}

TEST_F(HtmlTest, appears_at_the_end_alone) {
  HtmlReport report(options());
  report.run_started({"pytest", "project", "/p", {}, {}, 1, 1, 1});
  report.test_finished(sample_result("a", Verdict::passed));
  EXPECT_TRUE(fs::is_empty(directory_) || !fs::exists(path_));
  EXPECT_EQ(report.run_finished({}), "");
  EXPECT_TRUE(fs::exists(path_));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1);
}

TEST_F(HtmlTest, texts_are_bounded_by_the_verdict_and_in_sum) {
  HtmlOptions few = options();
  few.all_texts = 1 << 20;
  HtmlReport report(few);
  report.run_started({"pytest", "project", "/p", {}, {}, 1, 1, 1});
  TestResult passed = sample_result("passed", Verdict::passed);
  passed.output.out = passed.output.merged = std::string(1 << 20, 'p');
  TestResult failed = sample_failure("failed");
  failed.reports[0].text = std::string(1 << 20, 'f');
  for (int i = 0; i < 100; ++i) {
    report.test_finished(passed);
    report.test_finished(failed);
  }
  EXPECT_EQ(report.run_finished({}), "");
  const auto rows = blocks("tests").at(0);
  EXPECT_LT(rows[0][9]["sections"][0][1].get<std::string>().size(), 3u << 10);
  EXPECT_GT(rows[1][9]["failures"][0][1].get<std::string>().size(), 200u << 10);
  EXPECT_LT(fs::file_size(path_), 3u << 20);
  const auto last = blocks("tests").back().back();
  EXPECT_LT(last[9]["failures"][0][1].get<std::string>().size(), 2u << 10);
  EXPECT_NE(last[9]["failures"][0][1].get<std::string>().find("left out"), std::string::npos);
}

TEST_F(HtmlTest, asks_for_the_past_of_what_failed_first) {
  HtmlOptions asking = options();
  asking.tests_with_past = 2;
  std::vector<std::string> asked;
  asking.past = [&](const std::string& id) {
    asked.push_back(id);
    // The first is of this very run, the second of one that began when it had begun.
    return std::vector<HtmlPast>{
        {1'700'000'000'000, Verdict::failed, 3}, {1'700'000'000'001, Verdict::failed, 4}, {1'699'999'999'999, Verdict::failed, 5}};
  };
  HtmlReport report(asking);
  play_sample_run(report);
  ASSERT_EQ(asked.size(), 4u);
  EXPECT_EQ(asked[0], "tests/test_broken.py");
  EXPECT_EQ(asked[2], "tests/test_sample.py::test_ok");
  EXPECT_EQ(blocks("end").at(0)["past"][1], nlohmann::json::parse(R"(["tests/test_sample.py::test_bad",[[1699999999999,1,5]]])"));
}

TEST_F(HtmlTest, repetitions_stand_one_after_the_other) {
  HtmlReport report(options());
  for (std::uint32_t i = 1; i <= 3; ++i) {
    report.run_started({"pytest", "project", "/p", {}, {}, 1, i, 3});
    report.test_finished(sample_result("a", Verdict::passed));
    EXPECT_EQ(report.run_finished({}), "");
    EXPECT_EQ(blocks("run").size(), i);
    EXPECT_EQ(blocks("tests").size(), i);
  }
}

TEST_F(HtmlTest, a_page_that_cannot_be_written_is_told_at_the_end) {
  fs::create_directory(path_);
  HtmlReport report(options());
  report.run_started({"pytest", "project", "/p", {}, {}, 1, 1, 1});
  EXPECT_TRUE(report.problem().starts_with("the HTML page: ")) << report.problem();
  EXPECT_EQ(play_sample_run(report), report.problem());
}

TEST(HtmlRow, a_plain_pass_is_short) {
  TestResult result = sample_result("a", Verdict::passed);
  EXPECT_LT(html_row(result, true, 1000, true).dump().size(), 150u);
}

TEST(HtmlRow, sections_that_reports_repeat_come_once) {
  TestResult result = sample_failure("a");
  result.reports.push_back(result.reports[0]);
  result.reports[1].when = "teardown";
  const auto row = html_row(result, true, 1000, true);
  EXPECT_EQ(row[9]["failures"].size(), 2u);
  EXPECT_EQ(row[9]["sections"].size(), 1u);
}

}  // namespace
}  // namespace casemate
