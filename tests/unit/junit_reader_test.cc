// Reports that pytest wrote, and bytes that somebody else did.
#include "report/junit_reader.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/process.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

JUnitDocument read(std::string_view xml) {
  auto report = read_junit(xml);
  if (!report) ADD_FAILURE() << report.error().what;
  return report.value_or(JUnitDocument{});
}

void expect_problem(std::string_view xml, ErrorCode code, std::string_view part) {
  const auto report = read_junit(xml);
  ASSERT_FALSE(report.has_value()) << xml.substr(0, 200);
  EXPECT_EQ(report.error().code, code);
  EXPECT_NE(report.error().what.find(part), std::string::npos) << report.error().what;
  EXPECT_EQ(report.error().what.find('\n'), std::string::npos);
}

// A directory for one real run of pytest.
class Pytest {
 public:
  Pytest() {
    std::string name = fs::temp_directory_path() / "casemate-junit-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~Pytest() { fs::remove_all(directory_); }
  static bool is_there() { return is_program(kPython); }

  JUnitDocument report_of(const std::string& suite, const std::string& family = "xunit2") {
    fs::create_directories(directory_ + "/tests/lab1");
    std::ofstream(directory_ + "/tests/lab1/test_all.py") << suite;
    const std::string xml = directory_ + "/report.xml";
    const auto run = run_program({kPython, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=" + family, "--rootdir",
                                  directory_, "--junit-xml", xml, directory_ + "/tests"},
                                 std::chrono::seconds(60));
    if (!run) ADD_FAILURE() << run.error().what;
    std::ostringstream text;
    text << std::ifstream(xml, std::ios::binary).rdbuf();
    return read(text.str());
  }

 private:
  static constexpr const char* kPython = CASEMATE_BINARY_DIR "/venv/bin/python";
  std::string directory_;
};

const JUnitCase& find(const JUnitDocument& report, std::string_view name) {
  static const JUnitCase none;
  for (const JUnitCase& test : report.cases) {
    if (test.name == name) return test;
  }
  ADD_FAILURE() << "no case " << name;
  return none;
}

std::string word(const JUnitCase& test) {
  return fmt::format("{}{}{}", test.failed ? "failed " : "", test.errored ? "errored " : "", test.skipped ? "skipped " : "");
}

constexpr std::string_view kSuite = R"(
import pytest

def test_passes(): pass
def test_fails(): raise AssertionError("why \0 it\x1b failed")

@pytest.fixture
def bad_setup(): raise RuntimeError("set-up broke")
@pytest.fixture
def bad_teardown():
    yield
    raise RuntimeError("tear-down broke")

def test_setup(bad_setup): pass
def test_teardown(bad_teardown): pass
def test_both(bad_teardown): raise ValueError("the call broke")

@pytest.mark.skip(reason="not today")
def test_skipped(): pass
def test_skips(): pytest.skip("at run time")
@pytest.mark.xfail(reason="known")
def test_xfails(): assert False
@pytest.mark.xfail(reason="known", strict=True)
def test_xpasses_strictly(): pass
@pytest.mark.xfail(reason="known")
def test_xpasses(): pass

@pytest.mark.parametrize("value", [1, 2, 3, 4, 5], ids=["a b", "<&>\"'", "x::y/z", "tests.", "caf\u00e9"])
def test_many(value): pass

class TestGroup:
    def test_inside(self, record_property):
        record_property("key", "<value>")
        print("printed")
)";

TEST(JUnitReader, reads_what_pytest_writes) {
  if (!Pytest::is_there()) GTEST_SKIP() << "build/venv is not there";
  for (const char* family : {"xunit2", "xunit1"}) {
    Pytest pytest;
    const JUnitDocument report = pytest.report_of(std::string(kSuite), family);
    EXPECT_EQ(report.cases.size(), 16u);
    EXPECT_EQ(report.time.find_first_not_of("0123456789."), std::string::npos);
    EXPECT_FALSE(report.time.empty());
    EXPECT_EQ(report.dropped_bytes, 0u);
    EXPECT_EQ(find(report, "test_passes").class_name, "tests.lab1.test_all");
    EXPECT_EQ(find(report, "test_inside").class_name, "tests.lab1.test_all.TestGroup");
    EXPECT_EQ(word(find(report, "test_passes")), "");
    EXPECT_EQ(word(find(report, "test_inside")), "");
    EXPECT_FALSE(find(report, "test_passes").time.empty());

    const JUnitCase& failed = find(report, "test_fails");
    EXPECT_EQ(word(failed), "failed ");
    EXPECT_NE(failed.text.find("why #x00 it#x1B failed"), std::string::npos) << failed.text;
    EXPECT_NE(failed.message.find("why #x00 it#x1B failed"), std::string::npos) << failed.message;
    EXPECT_EQ(word(find(report, "test_setup")), "errored ");
    EXPECT_NE(find(report, "test_setup").text.find("RuntimeError: set-up broke"), std::string::npos);
    EXPECT_EQ(word(find(report, "test_teardown")), "errored ");
    EXPECT_NE(find(report, "test_teardown").text.find("tear-down broke"), std::string::npos);
    // Two <testcase>s of pytest, one case.
    const JUnitCase& both = find(report, "test_both");
    EXPECT_EQ(word(both), "failed errored ");
    EXPECT_LT(both.text.find("ValueError: the call broke"), both.text.find("RuntimeError: tear-down broke"));
    EXPECT_NE(both.text.find("\n\n"), std::string::npos);

    EXPECT_EQ(word(find(report, "test_skipped")), "skipped ");
    EXPECT_EQ(find(report, "test_skipped").message, "not today");
    EXPECT_EQ(find(report, "test_skips").message, "at run time");
    EXPECT_EQ(word(find(report, "test_xfails")), "skipped ");
    EXPECT_EQ(find(report, "test_xfails").message, "known");
    EXPECT_EQ(word(find(report, "test_xpasses_strictly")), "failed ");
    EXPECT_NE(find(report, "test_xpasses_strictly").text.find("XPASS(strict)"), std::string::npos);
    EXPECT_EQ(word(find(report, "test_xpasses")), "");
    for (const char* name : {"test_many[a b]", "test_many[<&>\"']", "test_many[x::y/z]", "test_many[tests.]", "test_many[caf\\xe9]"})
      EXPECT_EQ(word(find(report, name)), "");
  }
}

TEST(JUnitReader, a_file_that_can_not_be_collected_is_a_case_without_a_class) {
  if (!Pytest::is_there()) GTEST_SKIP() << "build/venv is not there";
  Pytest pytest;
  const JUnitDocument report = pytest.report_of("import nothing_of_that_name\n");
  ASSERT_EQ(report.cases.size(), 1u);
  EXPECT_EQ(report.cases[0].class_name, "");
  EXPECT_EQ(report.cases[0].name, "tests.lab1.test_all");
  EXPECT_TRUE(report.cases[0].errored);
  EXPECT_EQ(report.cases[0].message, "collection failure");
}

TEST(JUnitReader, takes_a_bare_suite_and_suites_in_suites) {
  const JUnitDocument bare =
      read(R"(<?xml version="1.0"?><testsuite time="1.5"><testcase classname="a" name="b" time="0.1"/></testsuite>)");
  EXPECT_EQ(bare.time, "1.5");
  ASSERT_EQ(bare.cases.size(), 1u);
  const JUnitDocument nested = read(R"(
<testsuites><properties><property name="x" value="y"/></properties>
  <testsuite time="2"><testcase name="one"/><testsuite time="3"><testcase name="two"><system-out>out</system-out></testcase></testsuite></testsuite>
  <testsuite><testcase name="three"><failure message="m">a<![CDATA[<b>]]>c<!-- no --></failure><error>e</error></testcase></testsuite>
  <system-out><![CDATA[<testcase name="no"/>]]></system-out>
</testsuites>)");
  EXPECT_EQ(nested.time, "2");
  ASSERT_EQ(nested.cases.size(), 3u);
  EXPECT_EQ(nested.cases[1].name, "two");
  EXPECT_EQ(nested.cases[1].text, "");
  EXPECT_EQ(nested.cases[2].text, "a<b>c\n\ne");
  EXPECT_EQ(nested.cases[2].message, "m");
  EXPECT_EQ(read("<testsuites/>").cases.size(), 0u);
}

TEST(JUnitReader, one_name_twice_stays_two_cases_unless_the_second_is_a_tear_down) {
  const JUnitDocument report = read(R"(<testsuite><testcase name="a"><failure>1</failure></testcase><testcase name="b"/>
    <testcase name="a"><error>2</error></testcase><testcase name="a"><error>3</error></testcase><testcase name="b"/></testsuite>)");
  ASSERT_EQ(report.cases.size(), 4u);
  EXPECT_EQ(report.cases[0].text, "1\n\n2");
}

TEST(JUnitReader, refuses_what_is_no_report) {
  expect_problem("", ErrorCode::corrupt, "is empty");
  expect_problem(" \n", ErrorCode::corrupt, "is empty");
  expect_problem("hello", ErrorCode::corrupt, "line 1");
  expect_problem("<html/>", ErrorCode::corrupt, "does not begin with <testsuites>");
  expect_problem("<testsuites>\n<testcase>\n</testsuites>", ErrorCode::corrupt, "line 3");
  expect_problem("<testsuites", ErrorCode::corrupt, "broken in line 1");
  expect_problem("<testsuites/><testsuites/>", ErrorCode::corrupt, "more than one");
  expect_problem(std::string_view("<testsuites/>\0", 14), ErrorCode::corrupt, "NUL");
  expect_problem("<testsuites a=1/>", ErrorCode::corrupt, "broken");
}

TEST(JUnitReader, expands_no_entities) {
  expect_problem(R"(<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><testsuites><testcase name="&lol2;"/></testsuites>)",
                 ErrorCode::corrupt, "line 2: a document type");
  expect_problem(R"(<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuites/>)", ErrorCode::corrupt, "document type");
  const JUnitDocument report = read("<testsuites><testcase name=\"&lol;&lt;&#65;&amp;\"/></testsuites>");
  ASSERT_EQ(report.cases.size(), 1u);
  EXPECT_EQ(report.cases[0].name, "&lol;<A&");
}

TEST(JUnitReader, cuts_long_texts_and_counts_what_is_lost) {
  const std::string text = std::string(kMostJUnitText, 'h') + std::string(kMostJUnitText, 't');
  const JUnitDocument report =
      read(fmt::format("<testsuites><testcase name=\"{}\" time=\"{}\"><failure message=\"{}\">{}</failure></testcase></testsuites>", text,
                       text, text, text));
  ASSERT_EQ(report.cases.size(), 1u);
  const JUnitCase& test = report.cases[0];
  EXPECT_LE(test.text.size(), kMostJUnitText);
  EXPECT_GT(test.text.size(), kMostJUnitText - 200);
  EXPECT_EQ(test.text.front(), 'h');
  EXPECT_EQ(test.text.back(), 't');
  EXPECT_LE(test.message.size(), kMostJUnitText);
  EXPECT_LE(test.name.size(), 4096u);
  EXPECT_EQ(test.time, "");
  EXPECT_GT(report.dropped_bytes, 4 * kMostJUnitText);
}

TEST(JUnitReader, is_bounded) {
  std::string cases = "<testsuite>";
  for (std::size_t i = 0; i < kMostJUnitCases; ++i) cases += "<testcase/>";
  EXPECT_EQ(read(cases + "</testsuite>").cases.size(), kMostJUnitCases);
  expect_problem(cases + "<testcase/></testsuite>", ErrorCode::exhausted, "more than 100000 cases");
  expect_problem(std::string(kMostJUnitBytes + 1, ' '), ErrorCode::exhausted, "64 MiB");
  std::string tags = "<testsuite>";
  for (int i = 0; i < 2'000'000; ++i) tags += "<a/>";
  expect_problem(tags, ErrorCode::exhausted, "tags");
  std::string attributes = "<testsuite ";
  for (int i = 0; i < 4'000'001; ++i) attributes += "a='>'";
  expect_problem(attributes, ErrorCode::exhausted, "attributes");
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<testsuite>";
  for (int i = 0; i < 1000; ++i) deep += "</testsuite>";
  expect_problem(deep, ErrorCode::exhausted, "deep");
  std::string deep_elsewhere = "<testsuite><testcase>";
  for (int i = 0; i < 100'000; ++i) deep_elsewhere += "<a>";
  for (int i = 0; i < 100'000; ++i) deep_elsewhere += "</a>";
  EXPECT_EQ(read(deep_elsewhere + "</testcase></testsuite>").cases.size(), 1u);
}

}  // namespace
}  // namespace casemate
