// The mock backend by real requests, and the example lab by a real git.
#include "apps/agent/mock_backend.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "apps/agent/grade.h"
#include "sys/process.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Task task_a(std::int64_t attempt) {
  Task task;
  task.attempt = attempt;
  task.repository_url = "https://h/r.git";
  task.branch = "a/b";
  task.laboratories = {1};
  return task;
}

Task task_b(const std::string& id) {
  Task task = task_a(0);
  task.form = WireForm::uuid;
  task.id = id;
  task.laboratories = {1, 2};
  task.connected_tests = {"x"};
  return task;
}

// A backend and one client of it.
class Served {
 public:
  explicit Served(MockOptions options) {
    auto started = MockBackend::start(std::move(options));
    if (!started) {
      ADD_FAILURE() << started.error().what;
      return;
    }
    backend.emplace(std::move(*started));
    client.emplace(backend->url());
  }

  struct Answer {
    int status = 0;
    std::string text;
    [[nodiscard]] Json json() const { return Json::parse(text, nullptr, false); }
  };
  Answer get(const std::string& path) { return answer(client->Get(path, headers())); }
  Answer post(const std::string& path, const std::string& body) { return answer(client->Post(path, headers(), body, "application/json")); }
  Answer give(const Task& task, const Grade& grade) { return post("/api/task/result", result_body(grade, task, task.form, false)); }

  std::optional<MockBackend> backend;
  std::string token;

 private:
  [[nodiscard]] httplib::Headers headers() const {
    return token.empty() ? httplib::Headers{} : httplib::Headers{{"Authorization", "Bearer " + token}};
  }
  static Answer answer(const httplib::Result& result) {
    if (!result) {
      ADD_FAILURE() << httplib::to_string(result.error());
      return {};
    }
    return {result->status, result->body};
  }
  std::optional<httplib::Client> client;
};

MockOptions with_tasks(std::vector<Task> tasks) {
  MockOptions options;
  options.tasks = std::move(tasks);
  return options;
}

TEST(MockBackend, gives_each_task_once_in_its_form) {
  Served served(with_tasks({task_a(21), task_b("u-1")}));
  EXPECT_EQ(served.get("/api/task/available").text,
            R"({"attempt":21,"repositoryUrl":"https://h/r.git","branch":"a/b","laboratoryNumber":1})");
  const auto second = served.get("/api/task/available");
  EXPECT_EQ(second.text, R"({"id":"u-1","status":"AVAILABLE","repositoryUrl":"https://h/r.git","branch":"a/b","laboratoryNumber":[1,2],)"
                         R"("connectedTests":["x"]})");
  const auto read = read_task(second.text);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->problem, "");
  const auto none = served.get("/api/task/available");
  EXPECT_EQ(none.status, 200);
  EXPECT_FALSE(read_task(none.text)->available);
  EXPECT_EQ(served.get("/api/else").status, 404);
  EXPECT_EQ(served.post("/api/else", "{}").status, 404);
}

TEST(MockBackend, takes_a_result_once_deletes_at_the_second_and_refuses_the_third) {
  std::vector<std::string> heard;
  MockOptions options = with_tasks({task_a(21), task_b("u-1")});
  options.on_result = [&](const std::string& body) { heard.push_back(body); };
  Served served(std::move(options));
  Grade grade;
  grade.cases.push_back({.name = "a::b", .verdict = CaseGrade::Verdict::passed});
  for (const Task& task : {task_a(21), task_b("u-1")}) {
    const std::string ask = "/api/session/attempt/" + (task.form == WireForm::attempt ? "21" : task.id);
    EXPECT_EQ(served.get(ask).json()["status"], "AVAILABLE");
    served.get("/api/task/available");
    EXPECT_EQ(served.get(ask).json()["status"], "IN_PROGRESS");
    EXPECT_EQ(served.get(ask).json()["testResults"], Json::array());
    EXPECT_EQ(served.give(task, grade).status, 200);
    EXPECT_EQ(served.get(ask).json()["status"], "FINISHED");
    EXPECT_EQ(served.get(ask).json()["isPassed"], true);
    EXPECT_EQ(served.get(ask).json()["testResults"][0]["name"], "a::b");
    EXPECT_EQ(served.give(task, grade).status, 200);
    EXPECT_EQ(served.get(ask).status, 404);
    EXPECT_EQ(served.give(task, grade).status, 400);
  }
  EXPECT_EQ(served.backend->results().size(), 2u);
  EXPECT_EQ(heard, served.backend->results());
  EXPECT_EQ(served.get("/api/session/attempt/22").status, 404);
}

TEST(MockBackend, refuses_what_deployed_ones_choke_on) {
  Served served(with_tasks({task_a(21)}));
  const auto post = [&](const std::string& details) {
    return served.post("/api/task/result", fmt::format(R"({{"testResults":{{"errorDetails":"{}"}},"attempt":21}})", details)).status;
  };
  EXPECT_EQ(post(std::string(256, 'x')), 500);
  EXPECT_EQ(post("a\\u0000b"), 500);
  EXPECT_EQ(served.post("/api/task/result", R"({"testResults":{"testCases":[{"description":"\u0000"}]},"attempt":21})").status, 500);
  EXPECT_EQ(served.post("/api/task/result", "{").status, 400);
  EXPECT_EQ(served.post("/api/task/result", R"({"attempt":"21"})").status, 400);
  EXPECT_EQ(served.post("/api/task/result", std::string(1'000'000, '[')).status, 400);
  // What ours would send of the worst.
  EXPECT_EQ(served.give(task_a(21), grade_of_error(std::string(1000, '\0') + std::string(1000, 'x') + "\xff")).status, 200);
  EXPECT_EQ(served.backend->results().size(), 1u);
}

TEST(MockBackend, asks_for_a_token_that_ends_and_is_renewed) {
  MockOptions options = with_tasks({task_a(21)});
  options.auth = true;
  options.roleless = "student";
  Served served(std::move(options));
  const auto log_in = [&](const char* name, const char* password) {
    return served.post("/api/v1/login", Json{{"username", name}, {"password", password}}.dump());
  };
  EXPECT_EQ(served.get("/api/task/available").status, 401);
  EXPECT_EQ(served.post("/api/task/result", "{}").status, 401);
  EXPECT_EQ(log_in("dora_explorer", "wrong").status, 401);
  EXPECT_EQ(log_in("nobody", "dora_explorer").status, 400);
  EXPECT_EQ(served.post("/api/v1/login", "").status, 400);

  served.token = log_in("student", "dora_explorer").json()["accessToken"];
  EXPECT_EQ(served.get("/api/task/available").status, 403);

  const Json grant = log_in("dora_explorer", "dora_explorer").json();
  EXPECT_EQ(grant["type"], "Bearer");
  served.token = grant["accessToken"];
  EXPECT_EQ(served.get("/api/task/available").status, 200);
  const auto renew = [&](const Json& token) { return served.post("/api/v1/auth/refresh", Json{{"refreshToken", token}}.dump()); };
  const auto renewed = renew(grant["refreshToken"]);
  EXPECT_EQ(renewed.status, 200);
  EXPECT_EQ(renew(grant["refreshToken"]).status, 401) << "a refresh token serves once";
  served.token = renewed.json()["accessToken"];
  EXPECT_EQ(served.get("/api/task/available").status, 200);
  EXPECT_EQ(renew(renewed.json()["refreshToken"]).status, 200);
}

TEST(MockBackend, a_token_ends) {
  MockOptions options;
  options.auth = true;
  options.token_life = std::chrono::milliseconds(-1);
  Served served(std::move(options));
  served.token = served.post("/api/v1/login", R"({"username":"dora_explorer","password":"dora_explorer"})").json()["accessToken"];
  EXPECT_EQ(served.get("/api/task/available").status, 401);
}

TEST(MockBackend, says_which_port_it_can_not_have) {
  Served served(MockOptions{});
  MockOptions options;
  const std::string url = served.backend->url();
  options.port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  const auto second = MockBackend::start(std::move(options));
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().what.find(url.substr(7)), std::string::npos) << second.error().what;
}

class Scratch {
 public:
  Scratch() {
    std::string name = fs::temp_directory_path() / "casemate-lab-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Scratch() { fs::remove_all(path); }
  std::string path;
};

std::string git(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {program_on_path("git"), "-c", "safe.directory=*"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const auto ran = run_program(argv, std::chrono::seconds(60));
  if (!ran || ran->end.code != 0) ADD_FAILURE() << (ran ? ran->err : ran.error().what);
  return ran ? ran->out : "";
}

std::string slurp(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST(ExampleLab, is_two_repositories_with_the_same_commit_each_time) {
  if (program_on_path("git").empty()) GTEST_SKIP() << "no git in $PATH";
  const Scratch scratch;
  const std::string place = scratch.path + "/with a blank %41";
  std::string commits[2];
  for (std::string& commit : commits) {
    const auto lab = ExampleLab::write(place);
    ASSERT_TRUE(lab.has_value()) << lab.error().what;
    for (const auto& [url, name] : {std::pair{lab->project_url(), "project"}, std::pair{lab->tests_url(), "tests"}}) {
      const std::string clone = fmt::format("{}/{}", scratch.path, name);
      fs::remove_all(clone);
      git({"clone", "--quiet", "--depth=1", "--branch=main", url, clone});
      commit += git({"-C", clone, "rev-parse", "HEAD"});
      const fs::path source = fs::path(CASEMATE_SOURCE_DIR "/examples/lab") / name;
      std::size_t files = 0;
      for (const auto& entry : fs::recursive_directory_iterator(source)) {
        if (!entry.is_regular_file() || entry.path().string().find("__pycache__") != std::string::npos) continue;
        ++files;
        EXPECT_EQ(slurp(entry.path()), slurp(clone / fs::relative(entry.path(), source)));
      }
      EXPECT_GE(files, 2u);
    }
  }
  EXPECT_EQ(commits[0], commits[1]);
  EXPECT_FALSE(fs::exists(place)) << "it is removed at its end";
}

TEST(MockRun, offers_the_lab_in_the_form_that_was_asked_for) {
  if (program_on_path("git").empty()) GTEST_SKIP() << "no git in $PATH";
  for (const auto wire : {std::optional<WireForm>(), std::optional(WireForm::uuid)}) {
    const Scratch scratch;
    AgentSettings settings;
    settings.wire = wire;
    settings.get_api = "/other/path";
    auto run = start_mock(settings, scratch.path + "/mock", 2);
    ASSERT_TRUE(run.has_value()) << run.error().what;
    httplib::Client client(run->backend.url());
    std::string first;
    for (int i = 0; i < 2; ++i) {
      const auto answer = client.Get("/other/path");
      ASSERT_TRUE(answer);
      const auto task = read_task(answer->body);
      ASSERT_TRUE(task && task->available);
      EXPECT_EQ(task->problem, "");
      EXPECT_EQ(task->task.form, wire.value_or(WireForm::attempt));
      EXPECT_EQ(task->task.repository_url, run->lab.project_url());
      EXPECT_NE(task->task.key(), first);
      first = task->task.key();
    }
    EXPECT_FALSE(read_task(client.Get("/other/path")->body)->available);
  }
}

}  // namespace
}  // namespace casemate
