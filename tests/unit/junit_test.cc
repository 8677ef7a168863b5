// JunitReport: beside what pytest itself writes for the same reports, and with events made by hand.
#include "report/junit.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "hand_made_run.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

// What pytest itself makes of this goes into both.
constexpr std::string_view kProject = R"py(
import os, sys, unittest, warnings
import pytest

def test_passes(): pass
def test_fails(): assert [1, 2, 3] == [1, 2, 4], "they differ"
def test_long_message(): raise ValueError("\n".join("line %d of many <&>\"" % i for i in range(40)))
def test_long_line(): raise ValueError("x" * 2000 + "ä")
def test_controls(): raise ValueError("esc \x1b[31m nul \0 del \x7f c1 \x9b \ufffe \uffff tab\t cr\r end")
def test_prints():
    print("out <&>", flush=True)
    sys.stderr.write("err\n")
    assert 0
@pytest.mark.skip(reason="not <now>")
def test_skip_mark(): pass
@pytest.mark.skipif(True, reason="because")
def test_skipif(): pass
def test_skip_inside(): pytest.skip("inside")
@pytest.mark.xfail(reason="bug 3")
def test_xfail(): assert 0
@pytest.mark.xfail
def test_xfail_without_reason(): assert 0
@pytest.mark.xfail(run=False, reason="never")
def test_xfail_not_run(): assert 0
@pytest.mark.xfail
def test_xpass(): pass
@pytest.mark.xfail(strict=True, reason="strictly")
def test_xpass_strict(): pass
def test_missing_fixture(no_such_fixture): pass
@pytest.fixture
def bad_setup(): raise OSError("set up\nin two lines")
def test_bad_setup(bad_setup): pass
@pytest.fixture
def bad_teardown():
    yield
    raise OSError("torn down")
def test_bad_teardown(bad_teardown): pass
def test_fails_and_bad_teardown(bad_teardown): assert 0
def test_properties(record_property):
    record_property("key", "value <&> \x1b")
    record_property("number", 3)
@pytest.mark.parametrize("x", ["a/b.py::c", "[", "ä", "\x1b", "a b"])
def test_parameters(x): pass
class TestClass:
    class TestInner:
        def test_method(self): assert not "method"
    def test_method(self): pass
class TestOld(unittest.TestCase):
    def test_old(self): self.assertEqual(1, 2)
    @unittest.skip("old skip")
    def test_old_skip(self): pass
    @unittest.expectedFailure
    def test_old_expected(self): self.fail()
def test_chain():
    try: 1 / 0
    except ZeroDivisionError as e: raise RuntimeError("second") from e
)py";

// Writes every report as the event's fields, a JSON object a line.
constexpr std::string_view kPlugin = R"py(
import json, os
import pytest
out = open(os.environ["REPORTS"], "w")
def tell(report, when):
    crash = getattr(report.longrepr, "reprcrash", None)
    told = {"id": report.nodeid, "when": when, "outcome": report.outcome, "duration": getattr(report, "duration", 0),
            "text": str(report.longrepr) if report.longrepr else "", "message": crash.message if crash else "",
            "properties": [[str(k), str(v)] for k, v in getattr(report, "user_properties", [])]}
    if report.skipped and isinstance(report.longrepr, tuple):
        told["path"], told["line"], told["text"] = report.longrepr
    if hasattr(report, "wasxfail"):
        told["xfail"] = report.wasxfail
    out.write(json.dumps(told) + "\n")
    out.flush()
def pytest_runtest_logreport(report):
    tell(report, report.when)
def pytest_collectreport(report):
    if report.failed: tell(report, "collect")
)py";

class Junit : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "casemate-junit-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }
  void write(const std::string& name, std::string_view text) {
    fs::create_directories(fs::path(directory_ + "/" + name).parent_path());
    std::ofstream(directory_ + "/" + name) << text;
  }
  // The document that the sink writes for these results.
  pugi::xml_document report_of(const std::vector<TestResult>& results) {
    const std::string path = directory_ + "/made/here/junit.xml";
    JunitReport sink(path);
    EXPECT_EQ(give(sink, results), "");
    pugi::xml_document document;
    const auto parsed = document.load_file(path.c_str(), pugi::parse_full);
    EXPECT_TRUE(parsed) << parsed.description();
    EXPECT_EQ(std::distance(fs::directory_iterator(directory_ + "/made/here"), {}), 1) << "something was left beside the report";
    return document;
  }
  std::string directory_;
};

std::vector<TestResult> results_from(const std::string& path) {
  std::vector<TestResult> results;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto told = nlohmann::json::parse(line);
    const std::string id = told["id"];
    auto result = std::find_if(results.begin(), results.end(), [&](const TestResult& one) { return one.test.id == id; });
    if (result == results.end()) {
      result = results.insert(results.end(), passed(id));
      result->reports.clear();
    }
    TestReport report;
    report.when = told["when"];
    report.outcome = told["outcome"];
    report.text = told["text"];
    report.message = told["message"];
    report.path = told.value("path", "");
    report.line = told.value("line", 0u);
    if (told.contains("xfail")) report.xfail = told["xfail"].get<std::string>();
    if (report.outcome == "failed") result->verdict = report.when == "call" ? Verdict::failed : Verdict::error;
    if (report.outcome == "skipped") result->verdict = report.xfail ? Verdict::xfailed : Verdict::skipped;
    result->properties.clear();
    for (const auto& property : told["properties"]) result->properties.emplace_back(property[0], property[1]);
    result->reports.push_back(std::move(report));
  }
  return results;
}

// The tree as text, without what differs from run to run.
void normalise(pugi::xml_node node) {
  for (const char* name : {"time", "timestamp"}) {
    if (node.attribute(name)) node.attribute(name).set_value("");
  }
  for (pugi::xml_node child : node.children()) normalise(child);
}

std::vector<std::string> sorted_cases(const pugi::xml_document& document) {
  std::vector<std::string> texts;
  for (const pugi::xml_node test : document.child("testsuites").child("testsuite").children()) {
    std::ostringstream text;
    test.print(text, "  ");
    texts.push_back(text.str());
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

std::string attributes(const pugi::xml_node& node) {
  std::string text = node.name();
  for (const pugi::xml_attribute attribute : node.attributes()) text += fmt::format(" {}={}", attribute.name(), attribute.value());
  return text;
}

TEST_F(Junit, it_is_what_pytest_writes_for_the_same_reports) {
  const std::string python = CASEMATE_BINARY_DIR "/venv/bin/python";
  if (!fs::exists(python)) GTEST_SKIP() << "no pytest in " << python << " (./dev test makes it)";
  write("project/tests/test_all.py", kProject);
  write("project/tests/test_broken.py", "import no_such_module\n");
  write("project/teller.py", kPlugin);
  const std::string command = fmt::format(
      "cd {0}/project && REPORTS={0}/reports PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. {1} -m pytest -q -p no:cacheprovider -p teller "
      "--continue-on-collection-errors --junit-xml={0}/pytest.xml tests >{0}/out 2>&1",
      directory_, python);
  const int status = std::system(command.c_str());
  ASSERT_EQ(WEXITSTATUS(status), 1) << read_file(directory_ + "/out").value_or("");

  pugi::xml_document theirs;
  ASSERT_TRUE(theirs.load_file((directory_ + "/pytest.xml").c_str(), pugi::parse_full));
  pugi::xml_document ours = report_of(results_from(directory_ + "/reports"));
  normalise(theirs);
  normalise(ours);
  EXPECT_EQ(attributes(ours.child("testsuites")), attributes(theirs.child("testsuites")));
  EXPECT_EQ(attributes(ours.child("testsuites").child("testsuite")), attributes(theirs.child("testsuites").child("testsuite")));
  const std::vector<std::string> our_cases = sorted_cases(ours);
  const std::vector<std::string> their_cases = sorted_cases(theirs);
  ASSERT_EQ(our_cases.size(), their_cases.size());
  EXPECT_GT(our_cases.size(), 30u);
  for (std::size_t i = 0; i < our_cases.size(); ++i) EXPECT_EQ(our_cases[i], their_cases[i]);
}

TEST_F(Junit, a_process_that_ended_otherwise_is_a_failure) {
  TestResult crash = ended("tests/test_a.py::test_crash", Outcome::Kind::signaled, 11);
  crash.output.err = "Fatal Python error: Segmentation fault\n";
  TestResult lost = with_verdict("tests/test_a.py::test_lost", Verdict::lost, "its warm parent died twice");
  lost.outcome = {Outcome::Kind::lost, 0, "", "gone"};
  const auto document = report_of({crash, lost, with_verdict("tests/test_a.py::test_ignored", Verdict::ignored)});
  const auto suite = document.child("testsuites").child("testsuite");
  EXPECT_STREQ(suite.attribute("tests").value(), "3");
  EXPECT_STREQ(suite.attribute("failures").value(), "1");
  EXPECT_STREQ(suite.attribute("errors").value(), "1");
  EXPECT_STREQ(suite.attribute("skipped").value(), "1");
  const auto failure = suite.find_child_by_attribute("name", "test_crash").child("failure");
  EXPECT_STREQ(failure.attribute("message").value(), "signaled 11 (SIGSEGV)");
  EXPECT_NE(std::string(failure.text().get()).find("Fatal Python error"), std::string::npos);
  EXPECT_STREQ(suite.find_child_by_attribute("name", "test_lost").child("error").attribute("message").value(),
               "its warm parent died twice");
  EXPECT_STREQ(suite.find_child_by_attribute("name", "test_ignored").child("skipped").attribute("type").value(), "casemate.ignored");
}

TEST_F(Junit, earlier_tries_are_told_and_not_counted) {
  TestResult first = failed("a.py::flaky");
  first.last = false;
  TestResult second = passed("a.py::flaky");
  second.attempt = 2;
  second.flaky = true;
  TestResult bad_first = ended("a.py::bad", Outcome::Kind::timed_out);
  bad_first.last = false;
  TestResult bad_second = failed("a.py::bad");
  bad_second.attempt = 2;
  const auto document = report_of({first, bad_first, second, bad_second});
  const auto suite = document.child("testsuites").child("testsuite");
  EXPECT_STREQ(suite.attribute("tests").value(), "2");
  EXPECT_STREQ(suite.attribute("failures").value(), "1");
  const auto flaky = suite.find_child_by_attribute("name", "flaky").child("flakyFailure");
  EXPECT_STREQ(flaky.attribute("type").value(), "AssertionError");
  EXPECT_NE(std::string(flaky.child("stackTrace").text().get()).find("assert 1 == 2"), std::string::npos);
  EXPECT_STREQ(flaky.child("system-out").text().get(), "said\n");
  EXPECT_STREQ(flaky.child("system-err").text().get(), "warned\n");
  const auto bad = suite.find_child_by_attribute("name", "bad");
  EXPECT_TRUE(bad.child("failure"));
  EXPECT_STREQ(bad.child("rerunFailure").attribute("message").value(), "timed out");
}

TEST_F(Junit, reruns_of_a_plugin_are_tries_too) {
  TestResult result = passed("a.py::rerun");
  TestReport rerun = failed("a.py::rerun").reports[1];
  rerun.outcome = "rerun";
  result.reports.insert(result.reports.begin() + 1, rerun);
  const auto document = report_of({result});
  const auto test = document.child("testsuites").child("testsuite").child("testcase");
  EXPECT_STREQ(test.child("flakyFailure").attribute("type").value(), "AssertionError");
  EXPECT_STREQ(test.parent().attribute("failures").value(), "0");
}

TEST_F(Junit, a_test_that_did_not_come_back_took_until_the_end_of_its_process) {
  TestResult result = ended("a.py::slow", Outcome::Kind::timed_out);
  result.duration = std::chrono::seconds(60);
  const auto document = report_of({result});
  EXPECT_STREQ(document.child("testsuites").child("testsuite").child("testcase").attribute("time").value(), "60.000");
}

TEST_F(Junit, every_repetition_has_its_suite) {
  const std::string path = directory_ + "/junit.xml";
  JunitReport sink(path);
  EXPECT_EQ(give(sink, {passed("a.py::one")}), "");
  EXPECT_EQ(give(sink, {failed("a.py::one"), passed("a.py::two")}), "");
  pugi::xml_document document;
  ASSERT_TRUE(document.load_file(path.c_str()));
  std::string tests;
  for (const auto suite : document.child("testsuites").children()) tests += suite.attribute("tests").value();
  EXPECT_EQ(tests, "12");
}

TEST_F(Junit, hostile_texts_stay_texts) {
  TestResult hostile = failed(kHostileId);
  hostile.reports[1].text = kHostileText;
  hostile.reports[1].message = kHostileText;
  hostile.properties = {{kHostileText, kHostileText}};
  TestResult first = hostile;
  first.last = false;
  const auto document = report_of({first, hostile});
  const auto suite = document.child("testsuites").child("testsuite");
  const auto test = suite.first_child();
  EXPECT_EQ(std::distance(suite.children().begin(), suite.children().end()), 1);
  EXPECT_STREQ(test.name(), "testcase");
  EXPECT_EQ(std::distance(test.children().begin(), test.children().end()), 3);  // properties, failure, rerunFailure
  EXPECT_TRUE(std::string(test.child("failure").text().get()).starts_with("#x1B[2J#x1B]52;c;aGk=#x07\n::error"));
}

TEST_F(Junit, what_is_there_stays_until_the_end_and_links_are_followed) {
  write("real.xml", "old");
  fs::create_symlink("real.xml", directory_ + "/link.xml");
  {
    JunitReport sink(directory_ + "/link.xml");
    sink.run_started(run_start());
    sink.test_finished(passed("a.py::one"));
  }
  EXPECT_EQ(read_file(directory_ + "/real.xml").value(), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 2);
  JunitReport sink(directory_ + "/link.xml");
  EXPECT_EQ(give(sink, {passed("a.py::one")}), "");
  EXPECT_TRUE(fs::is_symlink(directory_ + "/link.xml"));
  EXPECT_TRUE(read_file(directory_ + "/real.xml").value().starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?><testsuites "));
}

TEST_F(Junit, a_place_that_cannot_be_written_is_told_at_the_end) {
  write("file", "");
  JunitReport below_a_file(directory_ + "/file/junit.xml");
  EXPECT_EQ(give(below_a_file, {passed("a")}), fmt::format("can't write {}/file/junit.xml: Not a directory", directory_));
  JunitReport a_directory(directory_);
  EXPECT_EQ(give(a_directory, {passed("a")}), fmt::format("can't write {}: Is a directory", directory_));
  JunitReport full("/dev/full");
  EXPECT_EQ(give(full, {passed("a")}), "can't write /dev/full: No space left on device");
  struct stat info{};
  ASSERT_EQ(::stat("/dev/full", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
}

}  // namespace
}  // namespace casemate
