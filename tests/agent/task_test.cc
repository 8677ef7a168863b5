// Tasks in both wire forms, and what a backend should never send.
#include "apps/agent/task.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace casemate {
namespace {

TaskAnswer answer_to(std::string_view body) {
  auto answer = read_task(body);
  if (!answer) ADD_FAILURE() << answer.error().what;
  return answer.value_or(TaskAnswer{});
}

void expect_corrupt(std::string_view body, std::string_view part) {
  const auto answer = read_task(body);
  ASSERT_FALSE(answer.has_value()) << body.substr(0, 200);
  EXPECT_EQ(answer.error().code, ErrorCode::corrupt);
  EXPECT_NE(answer.error().what.find(part), std::string::npos) << answer.error().what;
  EXPECT_EQ(answer.error().what.find('\n'), std::string::npos);
}

// A task whose key can be read and that makes no sense otherwise.
void expect_problem(std::string_view members, std::string_view part) {
  const TaskAnswer answer = answer_to(fmt::format("{{\"attempt\":7,{}}}", members));
  EXPECT_TRUE(answer.available);
  EXPECT_EQ(answer.task.key(), "attempt 7");
  EXPECT_NE(answer.problem.find(part), std::string::npos) << members.substr(0, 200) << ": " << answer.problem;
  EXPECT_EQ(answer.problem.find('\n'), std::string::npos);
  EXPECT_LT(answer.problem.size(), 1000u);
}

constexpr std::string_view kSeed = R"({
    "attempt": 21,
    "repositoryUrl": "https://github.com/os-nsu/proxy-grisha.git",
    "branch": "main",
    "laboratoryNumber": 1,
    "connectedTests": [
        "test1",
        "test2"
    ]
})";
const std::string kPlace = R"("repositoryUrl":"https://h/r.git","branch":"main")";

TEST(Task, form_a_as_the_seed_has_it) {
  const TaskAnswer answer = answer_to(kSeed);
  EXPECT_TRUE(answer.available);
  EXPECT_EQ(answer.problem, "");
  EXPECT_EQ(answer.task.form, WireForm::attempt);
  EXPECT_EQ(answer.task.attempt, 21);
  EXPECT_EQ(answer.task.key(), "attempt 21");
  EXPECT_EQ(answer.task.repository_url, "https://github.com/os-nsu/proxy-grisha.git");
  EXPECT_EQ(answer.task.branch, "main");
  EXPECT_EQ(answer.task.laboratories, std::vector<std::int64_t>{1});
  EXPECT_EQ(answer.task.connected_tests, (std::vector<std::string>{"test1", "test2"}));
}

TEST(Task, form_b) {
  const TaskAnswer answer = answer_to(R"({"id":"5f0c1c9e-0000-4000-8000-000000000001","status":"AVAILABLE","repositoryUrl":"digit.git",
    "branch":"feature/a/b","laboratoryNumber":[1,2,3]})");
  EXPECT_TRUE(answer.available);
  EXPECT_EQ(answer.problem, "");
  EXPECT_EQ(answer.task.form, WireForm::uuid);
  EXPECT_EQ(answer.task.key(), "id 5f0c1c9e-0000-4000-8000-000000000001");
  EXPECT_EQ(answer.task.repository_url, "digit.git");
  EXPECT_EQ(answer.task.branch, "feature/a/b");
  EXPECT_EQ(answer.task.laboratories, (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_TRUE(answer.task.connected_tests.empty());
}

TEST(Task, there_may_be_none) {
  for (const char* body :
       {R"({"status":"UNAVAILABLE"})", R"({"id":"x","status":"UNAVAILABLE","branch":7})", "", " \r\n", "null", " null\n"})
    EXPECT_FALSE(answer_to(body).available) << body;
}

TEST(Task, number_and_names_may_be_absent_or_null) {
  for (const std::string& rest : {std::string(), std::string(R"(,"laboratoryNumber":null,"connectedTests":null)"),
                                  std::string(R"(,"laboratoryNumber":[],"connectedTests":[])")}) {
    const TaskAnswer answer = answer_to(R"({"attempt":-3,)" + kPlace + rest + "}");
    EXPECT_EQ(answer.problem, "");
    EXPECT_EQ(answer.task.key(), "attempt -3");
    EXPECT_TRUE(answer.task.laboratories.empty());
    EXPECT_TRUE(answer.task.connected_tests.empty());
  }
}

TEST(Task, without_a_key_it_is_none) {
  expect_corrupt("{}", "neither \"attempt\" nor \"id\"");
  expect_corrupt("{" + kPlace + "}", "neither");
  expect_corrupt(R"({"status":"AVAILABLE"})", "neither");
  for (const char* attempt : {"\"21\"", "21.5", "21.0", "null", "[21]", "{}", "true", "9223372036854775808", "1e30"})
    expect_corrupt(fmt::format(R"({{"attempt":{},{}}})", attempt, kPlace), "\"attempt\" is not a whole number");
  expect_corrupt(R"({"attempt":"21"})", "offers a task that can't be graded: its \"attempt\" is not a whole number but the text \"21\"");
  expect_corrupt(R"({"attempt":["a",2]})", "not a whole number but a list");
  expect_corrupt(R"({"attempt":null})", "not a whole number but null");
  expect_corrupt(R"({"attempt":"\u001b[31m"})", "but the text \"\\u001b[31m\"");
  expect_corrupt(R"({"id":5})", "offers a task that can't be graded: its \"id\" is not a text but 5");
  expect_corrupt("{}", "the backend's answer is not a task: ");
  expect_corrupt(R"({"id":""})", "\"id\" is empty");
  expect_corrupt(R"({"id":"a\u0000b"})", "control characters");
  expect_corrupt(fmt::format(R"({{"id":"{}"}})", std::string(201, 'x')), "longer than 200 bytes");
  EXPECT_EQ(answer_to(R"({"attempt":9223372036854775807})").task.attempt, INT64_MAX);
  EXPECT_EQ(answer_to(R"({"attempt":"no","id":"yes"})").task.key(), "id yes");
  EXPECT_EQ(answer_to(R"({"attempt":4,"id":"yes"})").task.key(), "attempt 4");
}

TEST(Task, other_answers_are_corrupt) {
  expect_corrupt("<html>502</html>", "not a JSON object");
  expect_corrupt("[]", "not a JSON object");
  expect_corrupt("\"AVAILABLE\"", "not a JSON object");
  expect_corrupt("{\"attempt\":1", "not a JSON object");
  expect_corrupt("{\"attempt\":1}\xff", "not a JSON object");
  expect_corrupt("{\"attempt\":1,\"branch\":\"\xff\"}", "not a JSON object");
  expect_corrupt(R"({"attempt":1,"branch":"\ud800"})", "not a JSON object");
  expect_corrupt("{\"attempt\":1,\"x\":" + std::string(1'000'000, '['), "not a JSON object");
  std::string many = R"({"attempt":1,"connectedTests":[)";
  for (int i = 0; i < 1'000'000; ++i) many += "\"a\",";
  expect_corrupt(many + "\"a\"]}", "not a JSON object");
}

TEST(Task, what_must_not_be_run_is_kept_as_that) {
  const auto read = read_task(R"({"attempt": 900, "repositoryUrl": "http://host/x", "branch": "-evil"})");
  ASSERT_TRUE(read);
  EXPECT_NE(read->task.problem, "");
  const auto back = task_from_json(task_json(read->task));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->problem, read->task.problem);
  // Also where somebody has taken the words out.
  const auto bare =
      task_from_json(R"({"attempt": 900, "repositoryUrl": "http://host/x", "branch": "", "laboratoryNumber": [], "connectedTests": []})");
  ASSERT_TRUE(bare);
  EXPECT_NE(bare->problem, "");
}

TEST(Task, a_key_with_nonsense_is_a_task_with_a_problem) {
  expect_problem(R"("branch":"main")", "no \"repositoryUrl\"");
  expect_problem(R"("repositoryUrl":"u")", "no \"branch\"");
  expect_problem(R"("repositoryUrl":null,"branch":"main")", "no \"repositoryUrl\"");
  expect_problem(R"("repositoryUrl":["u"],"branch":"main")", "\"repositoryUrl\" is not a text");
  expect_problem(R"("repositoryUrl":"","branch":"main")", "\"repositoryUrl\" is empty");
  expect_problem(R"("repositoryUrl":"--upload-pack=id","branch":"main")", "begins with '-'");
  expect_problem(R"("repositoryUrl":"u","branch":"-b")", "begins with '-'");
  expect_problem(R"("repositoryUrl":"u\u0000","branch":"main")", "control characters: u\\x00");
  expect_problem(R"("repositoryUrl":"u","branch":"a\nb")", "control characters");
  expect_problem(R"("repositoryUrl":"u","branch":1)", "\"branch\" is not a text");
  expect_problem(fmt::format(R"("repositoryUrl":"{}","branch":"b")", std::string(10'000'000, 'u')), "longer than 4096 bytes");
  for (const char* number : {"\"1\"", "1.5", "{}", "true", "[1,\"2\"]", "[[1]]", "99999999999999999999"})
    expect_problem(fmt::format(R"({},"laboratoryNumber":{})", kPlace, number), "\"laboratoryNumber\"");
  std::string numbers = "0";
  for (int i = 0; i < 1000; ++i) numbers += ",0";
  expect_problem(fmt::format(R"({},"laboratoryNumber":[{}])", kPlace, numbers), "more than 1000");
}

TEST(Task, connected_tests_are_names_and_fit_an_argument) {
  expect_problem(kPlace + R"(,"connectedTests":"test1")", "is not a list");
  expect_problem(kPlace + R"(,"connectedTests":["a",1])", "something else than names");
  expect_problem(kPlace + R"(,"connectedTests":["a",""])", "an empty name");
  expect_problem(kPlace + R"(,"connectedTests":[" "])", "an empty name");
  expect_problem(kPlace + R"(,"connectedTests":["a\u0000b"])", "control characters: a\\x00b");
  expect_problem(kPlace + ",\"connectedTests\":[\"" + std::string(200'000, 'x') + "\"]", "longer than 100000 bytes");
  std::string many = "\"a\"";
  for (int i = 0; i < 10'000; ++i) many += ",\"a\"";
  expect_problem(fmt::format(R"({},"connectedTests":[{}])", kPlace, many), "more than 10000 names");
  const TaskAnswer exact = answer_to(R"({"attempt":1,)" + kPlace + R"(,"connectedTests":["test_x[a b-é]"," Test "]})");
  EXPECT_EQ(exact.task.connected_tests, (std::vector<std::string>{"test_x[a b-é]", " Test "}));
}

TEST(Task, is_kept_on_disk_as_it_was) {
  for (const std::string& body : {std::string(kSeed), R"({"id":"u-1",)" + kPlace + R"(,"laboratoryNumber":[4,5],"connectedTests":["é"]})",
                                  std::string(R"({"attempt":5})")}) {
    const Task task = answer_to(body).task;
    const auto again = task_from_json(task_json(task));
    ASSERT_TRUE(again.has_value()) << again.error().what;
    EXPECT_EQ(again->form, task.form);
    EXPECT_EQ(again->key(), task.key());
    EXPECT_EQ(again->repository_url, task.repository_url);
    EXPECT_EQ(again->branch, task.branch);
    EXPECT_EQ(again->laboratories, task.laboratories);
    EXPECT_EQ(again->connected_tests, task.connected_tests);
  }
  for (const char* text : {"", "[]", "{}", R"({"attempt":"x"})"}) EXPECT_FALSE(task_from_json(text).has_value()) << text;
}

}  // namespace
}  // namespace casemate
