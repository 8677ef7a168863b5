// The page of a task, as text: what stands on it, and that nothing on it is anybody's markup. A browser looks at it in tests/e2e.
#include "apps/agent/task_page.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace casemate {
namespace {

const std::string kOurs(40, 'a');
const std::string kTests(40, 'b');

struct Told {
  WorkOrder order;
  Grade grade;
  std::vector<StepReport> steps;
  std::string output = "== test session ==\n1 failed\n";
  bool own_memory = false;

  Told() {
    order.task.attempt = 21;
    order.task.repository_url = "https://me:sesame@git.example.org/os/proxy-grisha.git";
    order.task.branch = "feature/lab";
    order.task.laboratories = {1, 2};
    order.tests_repo = "https://teacher:sesame@git.example.org/os/tests.git";
    order.tests_command = {"python", "run_tests.py"};
    grade.commit = kOurs;
    grade.any_unexpected = true;
    add("lab1.test_build::test_make", CaseGrade::Verdict::passed, "");
    add("lab1.test_run::test_greets", CaseGrade::Verdict::failed,
        "def test_greets():\n>   assert 1 == 2\nE       assert 1 == 2\n\nrun.py:6: AssertionError");
    add("lab1.test_run::test_later", CaseGrade::Verdict::skipped, "not this term");
    steps = {{.name = "clone", .took = std::chrono::milliseconds(65), .commit = kOurs},
             {.name = "tests", .took = std::chrono::milliseconds(14), .cached = true, .commit = kTests, .notes = {"a note"}}};
  }
  void add(std::string name, CaseGrade::Verdict verdict, std::string description) {
    grade.cases.push_back({.name = std::move(name),
                           .verdict = verdict,
                           .description = std::move(description),
                           .duration_text = "0.095",
                           .duration = std::chrono::milliseconds(95),
                           .memory_kib = 29404});
  }
  [[nodiscard]] std::string page() const {
    return task_page({order, grade, steps, output, std::chrono::system_clock::time_point{}, std::chrono::seconds(2), own_memory});
  }
};

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

void expect_has(const std::string& page, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST(TaskPage, TellsWhatWasGradedAndHow) {
  const std::string page = Told().page();
  expect_has(page,
             {"<title>attempt 21: proxy-grisha</title>", "<dd>https://git.example.org/os/proxy-grisha.git</dd>", "<dd>feature/lab</dd>",
              "<code>" + kOurs + "</code>", "<dd>https://git.example.org/os/tests.git</dd>", "<code>" + kTests + "</code>", "<dd>1, 2</dd>",
              "1 passed, 1 failed, 1 skipped", "lab1.test_run::test_greets<details><summary>assert 1 == 2</summary><pre>def test_greets():",
              "<p class=\"why\">not this term</p>", "95 ms", "28.7 MiB", "Memory (peak of all together)", "from the cache", "a note",
              "65 ms", "<pre>== test session ==\n1 failed\n</pre>"});
  EXPECT_EQ(page.find("sesame"), std::string::npos);
  EXPECT_LT(page.find("</table>"), page.find("== test session =="));
  EXPECT_EQ(count(page, "<script"), 0u);
}

TEST(TaskPage, SaysWhoseMemoryItIs) {
  Told told;
  told.own_memory = true;
  for (const char* what : {"test", "file"}) {
    told.order.isolation = what;
    expect_has(told.page(), {fmt::format("Memory (of each {})", what)});
  }
}

TEST(TaskPage, OfAnErrorHasItsReason) {
  Told told;
  told.grade.is_error = true;
  told.grade.error_details = "the repository could not be cloned: fatal: <no>";
  told.grade.cases.clear();
  told.grade.commit.clear();
  told.output.clear();
  const std::string page = told.page();
  expect_has(page, {"<span class=\"error\">error</span>", "fatal: &lt;no&gt;"});
  for (const char* absent : {"Commit</dt>", "Output of the tests", "Memory ("}) EXPECT_EQ(page.find(absent), std::string::npos) << absent;
}

TEST(TaskPage, HasNobodysMarkup) {
  const std::string evil = "</pre><script>alert(1)</script><img src=x onerror='a()'>\"\x1b]0;owned\a\xff\n&amp;";
  Told told;
  told.order.task.form = WireForm::uuid;
  told.order.task.id = evil;
  told.order.task.repository_url = "https://host/" + evil;
  told.order.task.branch = evil;
  told.order.task.connected_tests = {evil};
  told.order.tests_command = {evil};
  told.order.tests_repo = evil;
  told.grade.is_error = true;
  told.grade.error_details = evil;
  told.grade.cases.clear();
  told.add(evil, CaseGrade::Verdict::failed, evil);
  told.add(evil, CaseGrade::Verdict::skipped, "two\nlines " + evil);
  told.steps.push_back({.name = evil, .problem = evil, .notes = {evil}});
  told.output = evil;
  const std::string page = told.page();
  for (const char* markup : {"<script", "<img", "onerror='", "\x1b", "\a", "\xff"})
    EXPECT_EQ(page.find(markup), std::string::npos) << markup;
  expect_has(page, {"&lt;script&gt;alert(1)&lt;/script&gt;", "&amp;amp;"});
  EXPECT_EQ(count(page, "<pre>"), count(page, "</pre>"));
}

TEST(TaskPage, IsBounded) {
  Told told;
  const std::string text(200 << 10, 'x');
  for (int i = 0; i < 20'000; ++i) told.add("test", CaseGrade::Verdict::failed, i < 500 ? text : "E   short\nx");
  told.output = "the beginning\n" + std::string(1 << 20, 'y') + "\nthe end\n";
  const std::string page = told.page();
  EXPECT_LT(page.size(), 24u << 20);
  EXPECT_EQ(count(page, "<tr><td class=\"failed\""), 10'000u - 2);
  expect_has(page, {"10003 more are in grade.json", "its end; more is in output.txt", "the end\n</pre>"});
  EXPECT_EQ(page.find("the beginning"), std::string::npos);
}

}  // namespace
}  // namespace casemate
