// GithubReport and workflow commands: what a runner of GitHub Actions would read.
#include "report/github.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "hand_made_run.h"
#include "report/workflow_command.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

class Github : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "casemate-github-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }
  // The log; the summary is then in the file.
  std::string log_of(const std::vector<TestResult>& results, const std::string& workspace = "") {
    return written([&](int fd) {
      GithubReport sink({fd, summary_path(), workspace});
      EXPECT_EQ(give(sink, results), "");
    });
  }
  [[nodiscard]] std::string summary_path() const { return directory_ + "/summary.md"; }
  [[nodiscard]] std::string summary() const { return read_file(summary_path()).value_or(""); }
  std::string directory_;
};

TEST(WorkflowCommand, values_and_properties_are_escaped) {
  EXPECT_EQ(workflow_value("100%\r\na:b,c"), "100%25%0D%0Aa:b,c");
  EXPECT_EQ(workflow_property("100%\r\na:b,c"), "100%25%0D%0Aa%3Ab%2Cc");
  EXPECT_EQ(annotation("error", "a,b.py", 3, "x::y", "one\ntwo"), "::error file=a%2Cb.py,line=3,title=x%3A%3Ay::one%0Atwo\n");
  EXPECT_EQ(annotation("warning", "", 3, "", "text"), "::warning::text\n");
  EXPECT_EQ(annotation("notice", "\xff", 0, "", "\xff"), "::notice file=\xef\xbf\xbd::\xef\xbf\xbd\n");
}

TEST(WorkflowCommand, no_line_of_a_text_is_one) {
  EXPECT_EQ(without_workflow_commands("::error::x\n"), "\\x3a:error::x\n");
  EXPECT_EQ(without_workflow_commands(" \t ::error::x\na::b ::c\n"), " \t \\x3a:error::x\na::b ::c\n");
  EXPECT_EQ(without_workflow_commands("a\r::stop-commands::t"), "a\r\\x3a:stop-commands::t");
  EXPECT_EQ(without_workflow_commands("\xc2\xa0\xe2\x80\x83\xe3\x80\x80::debug::"), "\xc2\xa0\xe2\x80\x83\xe3\x80\x80\\x3a:debug::");
  EXPECT_EQ(without_workflow_commands("\x1b[31m::error::red"), "\x1b[31m\\x3a:error::red");
  EXPECT_EQ(without_workflow_commands("text ##[error]x ###[y"), "text \\x23#[error]x #\\x23#[y");
  EXPECT_EQ(without_workflow_commands("##[x\n::y"), "\\x23#[x\n\\x3a:y");
  EXPECT_EQ(without_workflow_commands("plain\n\n: : ::\n"), "plain\n\n: : ::\n");
  EXPECT_EQ(without_workflow_commands(""), "");
  EXPECT_EQ(without_workflow_commands("  "), "  ");
}

TEST_F(Github, each_failure_is_an_annotation_at_its_line) {
  TestResult flaky = passed("tests/test_a.py::test_flaky");
  flaky.flaky = true;
  flaky.attempt = 2;
  TestResult leak = passed("tests/test_a.py::test_leak");
  leak.leftovers = {{7, "sleep"}};
  TestResult retried = failed("tests/test_a.py::test_flaky");
  retried.last = false;
  const std::string log = log_of({passed("a.py::a"), failed("tests/test_a.py::test_b"), retried, flaky, leak}, "/home/someone");
  EXPECT_EQ(log,
            "::error file=project/tests/test_a.py,line=3,title=FAIL tests/test_a.py%3A%3Atest_b::    def test_b():%0A>       assert 1 == "
            "2%0AE       "
            "assert 1 == 2%0A%0Atests/test_a.py:3: AssertionError%0A----------------------------- Captured stdout call "
            "-----------------------------%0Asaid%0A----------------------------- Captured stderr call "
            "-----------------------------%0Awarned%0A\n"
            "::warning file=project/tests/test_a.py,line=3,title=FLAKY tests/test_a.py%3A%3Atest_flaky::FLAKY\n"
            "::warning file=project/tests/test_a.py,line=3,title=LEAK tests/test_a.py%3A%3Atest_leak::1 process left behind: sleep (7)\n");
}

TEST_F(Github, of_many_failures_ten_are_annotated_and_the_last_tells_of_the_rest) {
  const std::string log = log_of(std::vector<TestResult>(25, failed("tests/test_a.py::test_b")));
  EXPECT_EQ(times(log, "::error "), 10u);
  EXPECT_NE(log.find("and 15 more tests went wrong"), std::string::npos);
}

TEST_F(Github, the_summary_has_counts_and_failures) {
  log_of({passed("a.py::a"), failed("tests/test_a.py::test_b[<x>]")});
  EXPECT_EQ(summary(),
            "\n## ❌ project\n\n1 failed, 1 passed in 1.50 s\n\n"
            "<table>\n<tr><td>passed</td><td align=\"right\">1</td></tr>\n<tr><td>failed</td><td align=\"right\">1</td></tr>\n</table>\n\n"
            "<details><summary><b>FAIL</b> <code>tests/test&#95;a.py&#58;&#58;test&#95;b&#91;&lt;x&gt;&#93;</code> "
            "AssertionError&#58; assert 1 == 2</summary>\n\n"
            "<pre><code>    def test&#95;b()&#58;\n&gt;       assert 1 == 2\nE       assert 1 == 2\n\ntests/test&#95;a.py&#58;3&#58; "
            "AssertionError\n"
            "----------------------------- Captured stdout call -----------------------------\nsaid\n"
            "----------------------------- Captured stderr call -----------------------------\nwarned\n</code></pre>\n\n</details>\n\n");
}

TEST_F(Github, the_summary_never_exceeds_what_a_step_may_have) {
  std::ofstream(summary_path()) << std::string(500'000, 'x');
  TestResult result = failed("tests/test_a.py::test_b");
  result.reports[1].text = std::string(100'000, '<');
  log_of(std::vector<TestResult>(3000, result));
  EXPECT_LE(fs::file_size(summary_path()), 1u << 20);
  EXPECT_GT(fs::file_size(summary_path()), 900'000u);
  EXPECT_NE(summary().find(" more, for which a step's summary has no room"), std::string::npos);
  std::ofstream(summary_path(), std::ios::app) << std::string(100'000, 'x');
  const auto full = fs::file_size(summary_path());
  log_of({result});
  EXPECT_EQ(fs::file_size(summary_path()), full);
}

TEST_F(Github, hostile_texts_command_nothing) {
  TestResult hostile = failed(kHostileId);
  hostile.test.file = "tests/x,line=1::\n::set-env name=PATH::/evil\n##[error]\x1b[2J";
  hostile.reports[1].text = kHostileText + "\n\n</code></pre></details># heading @everyone\n\n```\n";
  hostile.reason = kHostileText;
  hostile.leftovers = {{1, kHostileText}};
  TestResult leak = passed(kHostileId);
  leak.leftovers = {{1, kHostileText}};
  const std::string log = log_of({hostile, leak});
  EXPECT_EQ(times(log, "\n"), 2u) << log;
  EXPECT_TRUE(log.starts_with("::error file=tests/x%2Cline=1%3A%3A\\n%3A%3Aset-env")) << log;
  EXPECT_EQ(log.find('\x1b'), std::string::npos);
  EXPECT_EQ(log.find('\r'), std::string::npos);
  const std::string text = summary();
  EXPECT_EQ(times(text, "</details>"), 1u);
  EXPECT_EQ(times(text, "</pre>"), 1u);
  for (const char* bad : {"<script", "@everyone", "```", "# heading", "\x1b", "\xff", kOverride.c_str()})
    EXPECT_EQ(text.find(bad), std::string::npos) << bad;
}

TEST_F(Github, a_summary_that_cannot_be_written_is_told) {
  GithubReport sink({open_file("/dev/null", O_WRONLY)->get(), directory_ + "/no/summary", ""});
  EXPECT_EQ(give(sink, {passed("a")}), fmt::format("can't write the step's summary {}/no/summary: No such file or directory", directory_));
}

}  // namespace
}  // namespace casemate
