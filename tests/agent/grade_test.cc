// What becomes of a report in both wire forms: each rule of the contract that is about mapping, and the seed's own example.
#include "apps/agent/grade.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace casemate {
namespace {

using Json = nlohmann::json;

JUnitDocument report_of(std::string_view cases, std::string_view time = "1.5") {
  auto report = read_junit(fmt::format("<testsuites><testsuite time=\"{}\">{}</testsuite></testsuites>", time, cases));
  if (!report) ADD_FAILURE() << report.error().what;
  return report.value_or(JUnitDocument{});
}

constexpr std::string_view kPass = R"(<testcase classname="tests.lab1.test_build" name="test_x[a]" time="0.487"/>)";
constexpr std::string_view kFail =
    R"(<testcase classname="tests.test_run" name="test_fails" time="1.0035"><failure message="short">long text</failure></testcase>)";
constexpr std::string_view kError =
    R"(<testcase classname="tests.test_run" name="test_error" time="0.1"><error message="failed on setup">E fixture broke</error></testcase>)";
constexpr std::string_view kSkip =
    R"(<testcase classname="tests.test_run" name="test_skip" time="0.000"><skipped type="pytest.skip" message="no make">/t.py:3: no make</skipped></testcase>)";

Grade grade_with(std::string_view cases, int status, std::vector<std::string> connected = {}) {
  return grade_of(report_of(cases), {.exit_status = status, .peak_memory_kib = 1772, .connected_tests = std::move(connected)});
}

Task task_a() {
  Task task;
  task.attempt = 21;
  return task;
}

Task task_b() {
  Task task;
  task.form = WireForm::uuid;
  task.id = "5f0c";
  return task;
}

Json form_a(const Grade& grade, bool strict = false) {
  return Json::parse(result_body(grade, task_a(), WireForm::attempt, strict))["testResults"];
}
Json form_b(const Grade& grade, bool strict = false) { return Json::parse(result_body(grade, task_b(), WireForm::uuid, strict)); }

bool both_passed(const Grade& grade) { return form_a(grade)["isPassed"] == true && form_b(grade)["isPassed"] == true; }

void expect_error(const Grade& grade, std::string_view part) {
  for (const Json& body : {form_a(grade), form_b(grade)}) {
    EXPECT_EQ(body["isError"], true);
    EXPECT_EQ(body["isPassed"], false);
    EXPECT_NE(body["errorDetails"].get<std::string>().find(part), std::string::npos) << body["errorDetails"];
  }
}

// The example of the seed, letter by letter.
constexpr std::string_view kSeed = R"json({
   "testResults":{
      "isPassed":false,
      "isError":false,
      "errorDetails":"",
      "duration":"15.866",
      "testCases": [
         {
            "name":"test_build::test_successful_make_clean",
            "isPassed":true,
            "description":"",
            "duration":"0.487",
            "memoryUsed":1772
         },
         {
            "name":"test_executable::test_run_with_invalid_arguments",
            "isPassed":false,
            "description":"steps/proxy_steps.py:25: in run_proxy_with_args\n    result = subprocess.run([proxy_bin_name] + args, cwd=project_dir, check=False, capture_output=True, text=True, timeout=timeout)\n/usr/lib/python3.12/subprocess.py:550: in run\n    stdout, stderr = process.communicate(input, timeout=timeout)\n/usr/lib/python3.12/subprocess.py:1209: in communicate\n    stdout, stderr = self._communicate(input, endtime, timeout)\n/usr/lib/python3.12/subprocess.py:2116: in _communicate\n    self._check_timeout(endtime, orig_timeout, stdout, stderr)\n/usr/lib/python3.12/subprocess.py:1253: in _check_timeout\n    raise TimeoutExpired(\nE   subprocess.TimeoutExpired: Command \\'[\\'/home/borodun/git/os-nsu/proxy-anton/develop/install/proxy\\', \\'--invalid_arg\\']\\' timed out after 1 seconds\n\nDuring handling of the above exception, another exception occurred:\ntests/test_executable.py:46: in test_run_with_invalid_arguments\n    result = run_proxy_with_args(project_dir, proxy_bin_name, [\\'--invalid_arg\\'], timeout=proxy_timeout)\nsteps/proxy_steps.py:27: in run_proxy_with_args\n    pytest.fail(f\"Proxy not finished in {timeout} seconds.\")\nE   Failed: Proxy not finished in 1 seconds.",
            "duration":"1.003",
            "memoryUsed":1491
         }
      ]
   },
   "attempt":21
})json";

TEST(Grade, of_the_seeds_example_is_posted_as_the_seed_has_it) {
  const auto seed = nlohmann::ordered_json::parse(kSeed);
  JUnitDocument report;
  report.time = "15.866";
  report.cases.push_back({.class_name = "tests.test_build", .name = "test_successful_make_clean", .time = "0.487"});
  report.cases.push_back({.class_name = "tests.test_executable",
                          .name = "test_run_with_invalid_arguments",
                          .time = "1.003",
                          .failed = true,
                          .text = seed["testResults"]["testCases"][1]["description"]});
  Grade grade = grade_of(report, {.exit_status = 1, .peak_memory_kib = 1772});
  grade.cases[1].memory_kib = 1491;
  EXPECT_EQ(result_body(grade, task_a(), WireForm::attempt, false), seed.dump());
}

TEST(Grade, in_form_b_is_flat_with_whole_milliseconds) {
  const Grade grade = grade_with(fmt::format("{}{}{}", kPass, kFail, kSkip), 1);
  EXPECT_EQ(result_body(grade, task_b(), WireForm::uuid, false),
            R"({"id":"5f0c","isPassed":false,"isError":false,"errorDetails":"","duration":1500,"testResults":[)"
            R"({"name":"lab1.test_build::test_x[a]","isPassed":true,"description":"","duration":487,"memoryUsed":1772},)"
            R"({"name":"test_run::test_fails","isPassed":false,"description":"long text","duration":1004,"memoryUsed":1772},)"
            R"({"name":"test_run::test_skip","isPassed":false,"description":"no make","duration":0,"memoryUsed":1772}]})");
}

TEST(Grade, a_skip_has_passed_in_form_a_and_not_in_form_b) {
  const Grade grade = grade_with(fmt::format("{}{}", kPass, kSkip), 0);
  const Json a = form_a(grade)["testCases"][1];
  EXPECT_EQ(a["isPassed"], true);
  EXPECT_EQ(a["description"], "");
  const Json b = form_b(grade)["testResults"][1];
  EXPECT_EQ(b["isPassed"], false);
  EXPECT_EQ(b["description"], "no make");
  const Grade bare = grade_with(R"(<testcase classname="a" name="b"><skipped/></testcase>)", 0);
  EXPECT_EQ(form_b(bare)["testResults"][0]["description"], "");
  EXPECT_EQ(form_b(bare)["testResults"][0]["isPassed"], false);
}

TEST(Grade, of_the_whole_counts_skips_only_if_asked_to) {
  const Grade skips = grade_with(fmt::format("{}{}", kPass, kSkip), 0);
  EXPECT_TRUE(both_passed(skips));
  EXPECT_EQ(form_a(skips, true)["isPassed"], false);
  EXPECT_EQ(form_b(skips, true)["isPassed"], false);
  const Grade passes = grade_with(kPass, 0);
  EXPECT_EQ(form_a(passes, true)["isPassed"], true);
  EXPECT_EQ(form_b(passes, true)["isPassed"], true);
  const Grade fails = grade_with(fmt::format("{}{}", kPass, kFail), 1);
  EXPECT_EQ(form_a(fails)["isPassed"], false);
  EXPECT_EQ(form_b(fails)["isPassed"], false);
}

TEST(Grade, of_nothing_but_skips_has_passed_in_form_a_alone) {
  const Grade grade = grade_with(kSkip, 0);
  EXPECT_EQ(form_a(grade)["isPassed"], true);
  EXPECT_EQ(form_b(grade)["isPassed"], false);
  EXPECT_EQ(form_b(grade)["isError"], false);
}

TEST(Grade, of_an_error_element_is_a_failed_case_with_its_text) {
  const Grade grade = grade_with(fmt::format("{}{}", kPass, kError), 1);
  EXPECT_FALSE(grade.is_error);
  EXPECT_FALSE(both_passed(grade));
  for (const Json& test : {form_a(grade)["testCases"][1], form_b(grade)["testResults"][1]}) {
    EXPECT_EQ(test["isPassed"], false);
    EXPECT_EQ(test["description"], "E fixture broke");
  }
  const Grade silent = grade_with(R"(<testcase name="a"><error message="only this"/></testcase>)", 1);
  EXPECT_EQ(silent.cases[0].description, "only this");
}

TEST(Grade, names_have_no_leading_tests) {
  const auto name = [](std::string_view class_name, std::string_view test) {
    return grade_with(fmt::format(R"(<testcase classname="{}" name="{}"/>)", class_name, test), 0).cases[0].name;
  };
  EXPECT_EQ(name("tests.lab1.test_build", "test_x[a]"), "lab1.test_build::test_x[a]");
  EXPECT_EQ(name("test_build", "test_x"), "test_build::test_x");
  EXPECT_EQ(name("tests.tests.test_a.TestB", "tests.x"), "tests.test_a.TestB::tests.x");
  EXPECT_EQ(name("mytests.test_a", "x"), "mytests.test_a::x");
  EXPECT_EQ(name("tests", "x"), "tests::x");
  EXPECT_EQ(name("", "tests.lab1.test_a"), "lab1.test_a");
  EXPECT_EQ(name("a", "x[&#233;\xff]"), "a::x[\xc3\xa9\xef\xbf\xbd]");
}

TEST(Grade, k_that_matches_nothing_is_an_error_with_the_names) {
  const Grade none = grade_with("", 5, {"test1", "test2"});
  expect_error(none, "no test matches: test1, test2");
  const Grade some = grade_with(kPass, 0, {"test_x", "test_typo", "lab9"});
  expect_error(some, "no test matches: test_typo, lab9");
  EXPECT_EQ(some.cases.size(), 1u);
}

TEST(Grade, k_matches_as_pytest_does) {
  for (const char* name :
       {"test_x", "TEST_X", "x[a]", "test_build", "Test_Build.py", "lab1", "lab1/test_build.py", "tests", "lab1.test_build"})
    EXPECT_FALSE(grade_with(kPass, 0, {name}).is_error) << name;
  expect_error(grade_with("", 5, {"test_"}), "no test matches: test_");
  // Chosen by a marker's name, of which the report knows nothing.
  EXPECT_FALSE(grade_with(kPass, 0, {"slow"}).is_error);
  EXPECT_FALSE(grade_with(fmt::format("{}{}", kPass, kSkip), 0, {"test_x", "slow"}).is_error);
}

TEST(Grade, nothing_ran_is_an_error) {
  expect_error(grade_with("", 5), "no tests were run");
  expect_error(grade_with(kSkip, 5), "no tests were run");
}

TEST(Grade, of_a_report_that_the_exit_status_contradicts_is_an_error_without_cases) {
  const std::string mixed = fmt::format("{}{}", kPass, kFail);
  struct Row {
    std::string cases;
    int status;
    std::string part;
  };
  for (const Row& row : {Row{mixed, 0, "status 0 (all tests passed), but its report says that 1 failed"},
                         Row{"", 0, "status 0 (all tests passed), but its report says that none ran"},
                         Row{std::string(kPass), 1, "status 1 (tests failed), but its report says that none failed"},
                         Row{"", 1, "its report says that none failed"}, Row{std::string(kSkip), 1, "its report says that none failed"},
                         Row{std::string(kPass), 5, "status 5 (no tests ran), but its report says that 1 ran"}}) {
    const Grade grade = grade_with(row.cases, row.status);
    expect_error(grade, row.part);
    EXPECT_TRUE(grade.cases.empty());
  }
}

TEST(Grade, of_tests_that_did_not_end_is_an_error_with_the_cases_that_did) {
  const Grade stopped = grade_with(fmt::format("{}{}", kPass, kFail), 2);
  expect_error(stopped, "interrupted");
  EXPECT_EQ(stopped.cases.size(), 2u);
  expect_error(grade_with(kPass, 3), "internal error");
  expect_error(grade_with("", 4), "status 4");
  expect_error(grade_with(kPass, 77), "status 77");
  expect_error(grade_with(R"(<testcase classname="" name="tests.test_a"><error message="collection failure">x
E   ModuleNotFoundError: No module named 'nothing'
</error></testcase>)",
                          2),
               "could not be collected: test_a: E   ModuleNotFoundError: No module named 'nothing'");
}

TEST(Grade, error_details_have_at_most_255_characters) {
  const auto details = [](const std::string& text) {
    const Json a = form_a(grade_of_error(text))["errorDetails"];
    EXPECT_EQ(a, form_b(grade_of_error(text))["errorDetails"]);
    return a.get<std::string>();
  };
  EXPECT_EQ(details("git: no such branch"), "git: no such branch");
  EXPECT_EQ(details(std::string(255, 'x')), std::string(255, 'x'));
  EXPECT_EQ(details(std::string(256, 'x')), std::string(254, 'x') + "…");
  EXPECT_EQ(details(std::string(1'000'000, 'x')), std::string(254, 'x') + "…");
  std::string cyrillic, cyrillic_cut, faces, faces_cut;
  for (int i = 0; i < 300; ++i) cyrillic += "я", cyrillic_cut += i < 254 ? "я" : "";
  EXPECT_EQ(details(cyrillic), cyrillic_cut + "…");
  // Two UTF-16 units each: 127 fit.
  for (int i = 0; i < 128; ++i) faces += "😀", faces_cut += i < 127 ? "😀" : "";
  EXPECT_EQ(details(faces), faces_cut + "…");
  EXPECT_EQ(details(faces_cut), faces_cut);
  EXPECT_EQ(details("x" + faces), "x" + faces_cut.substr(0, faces_cut.size() - 4) + "…");
}

TEST(Grade, texts_have_no_nul_and_are_utf8) {
  Grade grade = grade_of_error(std::string("a\0b\xff", 4));
  CaseGrade test;
  test.name = std::string("n\0\xed\xa0\x80", 5);
  test.description = std::string("\0\0d\xc3", 4);
  grade.cases.push_back(test);
  for (const std::string& body :
       {result_body(grade, task_a(), WireForm::attempt, false), result_body(grade, task_b(), WireForm::uuid, false)}) {
    EXPECT_TRUE(Json::accept(body));
    EXPECT_EQ(body.find("\\u0000"), std::string::npos) << body;
    EXPECT_NE(body.find("\"ab\xef\xbf\xbd\""), std::string::npos) << body;
    EXPECT_NE(body.find("\"d\xef\xbf\xbd\""), std::string::npos) << body;
  }
  // A character reference to NUL ends the text in the reader, at the latest.
  const Grade read = grade_with("<testcase name='a'><failure>x&#0;y</failure></testcase>", 1);
  EXPECT_EQ(form_a(read)["testCases"][0]["description"].get<std::string>().find('\0'), std::string::npos);
}

TEST(Grade, durations_are_those_of_the_report) {
  EXPECT_EQ(form_a(grade_with(kPass, 0))["duration"], "1.5");
  EXPECT_EQ(form_a(grade_with(kPass, 0))["testCases"][0]["duration"], "0.487");
  // None of the whole: the sum of the cases.
  const Grade sum = grade_of(report_of(fmt::format("{}{}", kPass, kFail), ""), {.exit_status = 1});
  EXPECT_EQ(form_a(sum)["duration"], "1.490");
  EXPECT_EQ(form_b(sum)["duration"], 1491);
  for (const char* time : {"", "nan", "-1", "1e9", "1,5", "1.", ".5", "0x10", "9999999999999", "1.5 "}) {
    const Grade grade = grade_with(fmt::format("<testcase name='a' time='{}'/>", time), 0);
    EXPECT_EQ(form_a(grade)["testCases"][0]["duration"], "0") << time;
    EXPECT_EQ(form_b(grade)["testResults"][0]["duration"], 0) << time;
  }
  EXPECT_EQ(form_b(grade_with("<testcase name='a' time='999999999999.9999999'/>", 0))["testResults"][0]["duration"], 1'000'000'000'000'000);
  EXPECT_EQ(form_a(grade_of_error("x"))["duration"], "0");
  EXPECT_EQ(form_b(grade_of_error("x"))["duration"], 0);
}

TEST(Grade, in_a_forced_form_has_the_key_of_the_task) {
  const Grade grade = grade_with(kPass, 0);
  EXPECT_EQ(Json::parse(result_body(grade, task_a(), WireForm::uuid, false))["id"], "21");
  EXPECT_EQ(Json::parse(result_body(grade, task_b(), WireForm::attempt, false))["attempt"], "5f0c");
  Task number = task_b();
  number.id = "77";
  EXPECT_EQ(Json::parse(result_body(grade, number, WireForm::attempt, false))["attempt"], 77);
}

TEST(Grade, is_kept_on_disk_as_it_was) {
  const Grade grade = grade_with(fmt::format("{}{}{}{}", kPass, kFail, kSkip, kError), 1, {"test_", "typo"});
  const auto again = grade_from_json(grade_json(grade));
  ASSERT_TRUE(again.has_value()) << again.error().what;
  EXPECT_EQ(again->any_unexpected, true);
  EXPECT_EQ(again->any_skipped, true);
  EXPECT_EQ(grade_json(*again), grade_json(grade));
  for (const WireForm form : {WireForm::attempt, WireForm::uuid})
    EXPECT_EQ(result_body(*again, task_a(), form, false), result_body(grade, task_a(), form, false));
  for (const char* text : {"", "[]", "{}", R"({"is_error":1,"cases":[]})", R"({"is_error":true})", R"({"is_error":true,"cases":[1]})",
                           R"({"is_error":true,"cases":[{"verdict":"perhaps"}]})"})
    EXPECT_FALSE(grade_from_json(text).has_value()) << text;
}

TEST(Grade, keeps_the_commit_to_itself) {
  Grade grade = grade_with(kPass, 0);
  const std::string without = result_body(grade, task_a(), WireForm::attempt, false);
  grade.commit = std::string(40, 'c');
  EXPECT_EQ(grade_from_json(grade_json(grade)).value_or(Grade{}).commit, grade.commit);
  EXPECT_EQ(result_body(grade, task_a(), WireForm::attempt, false), without);  // the contract has no room for it
  grade.commit = "no commit";
  EXPECT_EQ(grade_from_json(grade_json(grade)).value_or(Grade{}).commit, "");
}

TEST(Grade, of_very_many_cases_is_kept_whole) {
  Grade grade;
  grade.cases.resize(kMostJUnitCases);
  const auto again = grade_from_json(grade_json(grade));
  ASSERT_TRUE(again.has_value()) << again.error().what;
  EXPECT_EQ(again->cases.size(), kMostJUnitCases);
}

}  // namespace
}  // namespace casemate
