// Backend against real servers on loopback that keep to the contract, and that do not.
#include "apps/agent/backend.h"

#include <chrono>
#include <csignal>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/untrusted_json.h"
#include "json_web_token.h"
#include "loopback.h"

namespace casemate {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using Failure = BackendFailure::Kind;
using Post = PostOutcome::Kind;

constexpr const char* kTask =
    R"({"attempt":21,"repositoryUrl":"https://example.org/lab.git","branch":"main","laboratoryNumber":1,"connectedTests":["a"]})";
constexpr const char* kPassword = "s3cret-word";

// No two tokens are the same.
Json numbered(Json claims, int number) {
  claims["jti"] = number;
  return claims;
}

// A backend that keeps to the contract. What it was asked is in `asked`: "login", "refresh", "get", "post", "ask", in order.
class GoodBackend {
 public:
  GoodBackend() {
    http_.server.Post("/api/v1/login", guarded("login", [this](const auto& request, auto& response) { log_in(request, response); }));
    http_.server.Post("/api/v1/auth/refresh",
                      guarded("refresh", [this](const auto& request, auto& response) { refresh(request, response); }));
    http_.server.Get("/api/task/available",
                     guarded("get", [this](const auto& request, auto& response) { answer(request, response, get); }));
    http_.server.Post("/api/task/result", guarded("post", [this](const auto& request, auto& response) {
                        if (answer(request, response, post)) bodies.push_back(request.body);
                      }));
    http_.server.Get(R"(/api/session/attempt/(.*))", guarded("ask", [this](const auto& request, auto& response) {
                       asked_for.push_back(request.target);
                       answer(request, response, ask);
                     }));
    http_.start();
  }
  [[nodiscard]] AgentSettings settings(bool with_login = true) const {
    AgentSettings settings;
    settings.backend_url = fmt::format("http://127.0.0.1:{}", http_.port);
    settings.auth = with_login;
    settings.login = "runner";
    settings.password = kPassword;
    return settings;
  }
  [[nodiscard]] Backend client(bool with_login = true) const {
    auto backend = Backend::create(settings(with_login), -1);
    EXPECT_TRUE(backend) << backend.error().what;
    return std::move(*backend);
  }
  std::vector<std::string> take_asked() {
    const std::lock_guard lock(mutex_);
    return std::exchange(asked, {});
  }
  void forget_access() {
    const std::lock_guard lock(mutex_);
    access_.clear();
  }
  void forget_all() {
    const std::lock_guard lock(mutex_);
    access_.clear();
    refresh_.clear();
  }

  struct Answer {
    int status = 200;
    std::string body = "{}";
  };
  // Set before the first request that they matter to.
  bool wants_token = true;
  bool accepts_tokens = true;
  std::string password = kPassword;
  std::string role_less;                 // a user
  Json claims;                           // of access tokens; null: they say nothing
  std::map<std::string, Answer> broken;  // by what is asked: answered so, and nothing is done
  Answer get{200, kTask};
  Answer post;
  Answer ask{404, "{}"};
  std::vector<std::string> asked, bodies, asked_for;
  std::set<std::string> used_up;  // refresh tokens
  int reused = 0;                 // refresh tokens that came again

 private:
  using Handler = httplib::Server::Handler;
  Handler guarded(const std::string& what, Handler handler) {
    return [this, what, handler](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      asked.push_back(what);
      if (const auto found = broken.find(what); found != broken.end()) {
        response.status = found->second.status;
        response.set_content(found->second.body, "application/json");
        return;
      }
      handler(request, response);
    };
  }
  void triple(httplib::Response& response, const std::string& user) {
    const std::string access = claims.is_null() ? fmt::format("s3cret-access-{}", ++count_) : jwt(numbered(claims, ++count_));
    const std::string renewal = fmt::format("s3cret-refresh-{}", count_);
    access_[access] = user;
    refresh_[renewal] = user;
    response.set_content(Json{{"type", "Bearer"}, {"accessToken", access}, {"refreshToken", renewal}}.dump(), "application/json");
  }
  void log_in(const httplib::Request& request, httplib::Response& response) {
    const Json body = Json::parse(request.body);
    response.status = body.at("username") != "runner" ? 400 : body.at("password") != password ? 401 : 200;
    if (response.status == 200) triple(response, body.at("username"));
  }
  void refresh(const httplib::Request& request, httplib::Response& response) {
    const std::string token = Json::parse(request.body).at("refreshToken");
    if (!used_up.insert(token).second) ++reused;
    const auto found = refresh_.extract(token);
    response.status = found ? 200 : 401;
    if (found) triple(response, found.mapped());
  }
  bool answer(const httplib::Request& request, httplib::Response& response, const Answer& with) {
    const std::string authorization = request.get_header_value("Authorization");
    const auto user = authorization.starts_with("Bearer ") ? access_.find(authorization.substr(7)) : access_.end();
    response.status = !wants_token                               ? with.status
                      : user == access_.end() || !accepts_tokens ? 401
                      : user->second == role_less                ? 403
                                                                 : with.status;
    response.set_content(response.status == with.status ? with.body : R"({"message":"no"})", "application/json");
    return response.status == with.status;
  }
  std::mutex mutex_;
  int count_ = 0;
  std::map<std::string, std::string> access_, refresh_;
  Listening<httplib::Server> http_;  // last: it ends first
};

using Words = std::vector<std::string>;

void expect_no_secret(const std::string& text) {
  EXPECT_EQ(text.find("s3cret"), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  EXPECT_FALSE(text.empty());
}

BackendFailure failure_of(std::expected<TaskAnswer, BackendFailure> answer) {
  EXPECT_FALSE(answer);
  if (answer) return {};
  expect_no_secret(answer.error().what);
  return answer.error();
}

bool says(const std::string& text, std::string_view words) { return text.find(words) != std::string::npos; }

class BackendTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::signal(SIGPIPE, SIG_IGN);
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  }
  // What a client without a login makes of servers that serve so.
  static PostOutcome post_to(const RawServer::Serve& serve, const std::string& body = "{}") {
    const RawServer server(serve);
    auto backend = Backend::create({.backend_url = server.url("")}, -1);
    EXPECT_TRUE(backend) << backend.error().what;
    PostOutcome outcome = backend->post(body);
    if (outcome.kind != Post::accepted) expect_no_secret(outcome.what);
    return outcome;
  }
};

// --- without a login

TEST_F(BackendTest, ATaskIsTakenAndItsResultPosted) {
  GoodBackend server;
  server.wants_token = false;
  Backend backend = server.client(false);
  const auto answer = backend.take();
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_TRUE(answer->available);
  EXPECT_EQ(answer->task.attempt, 21);
  EXPECT_EQ(backend.post(R"({"attempt":21})").kind, Post::accepted);
  EXPECT_EQ(server.bodies, Words{R"({"attempt":21})"});
  EXPECT_EQ(server.take_asked(), (Words{"get", "post"}));
}

TEST_F(BackendTest, AnUrlThatEndsInASlashAndPathsThatBeginWithout) {
  GoodBackend server;
  server.wants_token = false;
  AgentSettings settings = server.settings(false);
  settings.backend_url += "/";
  settings.get_api = "api/task/available";
  auto backend = Backend::create(settings, -1);
  ASSERT_TRUE(backend);
  EXPECT_TRUE(backend->take());
}

TEST_F(BackendTest, WhatIsNoUrlIsRefused) {
  for (const char* url :
       {"", "localhost:5000", "ftp://localhost", "http://user:s3cret@", "http://h/?x=1", "http://h/#x", "file:///etc/passwd"}) {
    const auto backend = Backend::create({.backend_url = url}, -1);
    ASSERT_FALSE(backend) << url;
    EXPECT_EQ(backend.error().code, ErrorCode::invalid_input);
    expect_no_secret(backend.error().what);
  }
  EXPECT_FALSE(Backend::create({.ca_file = "/nonexistent/ca.pem"}, -1));
}

TEST_F(BackendTest, NoTask) {
  GoodBackend server;
  server.wants_token = false;
  Backend backend = server.client(false);
  for (const auto& [status, body] : {std::pair(200, R"({"status":"UNAVAILABLE"})"), {204, ""}}) {
    server.get = {status, body};
    const auto answer = backend.take();
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_FALSE(answer->available);
  }
}

TEST_F(BackendTest, AnswersOfNoUse) {
  GoodBackend server;
  server.wants_token = false;
  Backend backend = server.client(false);
  const auto kind_of = [&](int status, std::string body) {
    server.get = {status, std::move(body)};
    return failure_of(backend.take()).kind;
  };
  for (const int status : {500, 502, 503, 504, 429, 408}) EXPECT_EQ(kind_of(status, "<html>down"), Failure::unreachable) << status;
  for (const int status : {400, 404, 405, 410, 301, 302}) EXPECT_EQ(kind_of(status, "<html>what?"), Failure::nonsense) << status;
  EXPECT_EQ(kind_of(200, R"({"attempt": 21, )"), Failure::nonsense);
  EXPECT_EQ(kind_of(200, "<html>hello"), Failure::nonsense);
  EXPECT_EQ(kind_of(200, std::string(1 << 20, '[')), Failure::nonsense);
  EXPECT_EQ(kind_of(200, R"({"padding":")" + std::string(17u << 20, 'x') + R"("})"), Failure::nonsense);
  server.get = {200, R"({"padding":")" + std::string(10u << 20, 'x') + "\"," + std::string(kTask).substr(1)};
  EXPECT_TRUE(backend.take());
}

TEST_F(BackendTest, AServerThatWantsALoginIsSaidWithTheFlagForIt) {
  GoodBackend server;
  Backend backend = server.client(false);
  const BackendFailure failure = failure_of(backend.take());
  EXPECT_EQ(failure.kind, Failure::unauthorised);
  EXPECT_TRUE(says(failure.what, "--auth") && says(failure.what, "401")) << failure.what;
  EXPECT_EQ(backend.post("{}").kind, Post::later);
  EXPECT_EQ(server.take_asked(), (Words{"get", "post"}));  // no password goes where none was meant to
}

// --- logging in

TEST_F(BackendTest, OneLoginServesAllRequests) {
  GoodBackend server;
  Backend backend = server.client();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(backend.take());
  EXPECT_EQ(backend.post("{}").kind, Post::accepted);
  EXPECT_EQ(server.take_asked(), (Words{"login", "get", "get", "get", "post"}));
}

TEST_F(BackendTest, ATokenThatDiedIsRefreshedAndTheRequestMadeAgain) {
  GoodBackend server;
  Backend backend = server.client();
  ASSERT_TRUE(backend.take());
  for (int i = 0; i < 3; ++i) {
    server.forget_access();
    ASSERT_TRUE(backend.take());
  }
  server.forget_access();
  EXPECT_EQ(backend.post("{\"x\":1}").kind, Post::accepted);
  EXPECT_EQ(server.bodies, Words{"{\"x\":1}"});
  EXPECT_EQ(server.take_asked(),
            (Words{"login", "get", "get", "refresh", "get", "get", "refresh", "get", "get", "refresh", "get", "post", "refresh", "post"}));
  EXPECT_EQ(server.reused, 0);
}

TEST_F(BackendTest, ADeadRefreshTokenMeansToLogIn) {
  GoodBackend server;
  Backend backend = server.client();
  ASSERT_TRUE(backend.take());
  server.forget_all();
  ASSERT_TRUE(backend.take());
  EXPECT_EQ(server.take_asked(), (Words{"login", "get", "get", "refresh", "login", "get"}));
  EXPECT_EQ(server.reused, 0);
}

TEST_F(BackendTest, WhateverIsWrongWithARefreshMeansToLogIn) {
  GoodBackend server;
  for (const auto& [status, body] : {std::pair(400, "{}"), {404, ""}, {500, "oops"}, {200, "{}"}, {200, "<html>"}}) {
    Backend backend = server.client();
    ASSERT_TRUE(backend.take());
    server.broken["refresh"] = {status, body};
    server.forget_access();
    EXPECT_TRUE(backend.take());
    server.broken.clear();
    EXPECT_EQ(server.take_asked(), (Words{"login", "get", "get", "refresh", "login", "get"}));
  }
}

TEST_F(BackendTest, ATokenIsRefreshedBeforeItEnds) {
  GoodBackend server;
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  server.claims = {{"exp", now + 3600}};
  AgentSettings settings = server.settings();
  settings.refresh_time = 3600s;  // always, then: but each is used for half its life
  auto backend = Backend::create(settings, -1);
  ASSERT_TRUE(backend);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(backend->take());
  EXPECT_EQ(server.take_asked(), (Words{"login", "get", "get", "get"}));

  server.claims = {{"iat", now}, {"exp", static_cast<double>(now) + 0.4}};
  settings.refresh_time = 100ms;
  backend = Backend::create(settings, -1);
  ASSERT_TRUE(backend->take());
  std::this_thread::sleep_for(310ms);
  ASSERT_TRUE(backend->take());
  EXPECT_EQ(server.take_asked(), (Words{"login", "get", "refresh", "get"}));
}

TEST_F(BackendTest, WhoMayNotIsToldWhy) {
  GoodBackend server;
  server.password = "another";
  Backend backend = server.client();
  const BackendFailure password = failure_of(backend.take());
  EXPECT_EQ(password.kind, Failure::unauthorised);
  EXPECT_TRUE(says(password.what, "password") && says(password.what, "'runner'") && says(password.what, "401")) << password.what;
  EXPECT_EQ(server.take_asked(), Words{"login"});

  AgentSettings settings = server.settings();
  settings.login = "nobody";
  const BackendFailure user = failure_of(Backend::create(settings, -1)->take());
  EXPECT_EQ(user.kind, Failure::unauthorised);
  EXPECT_TRUE(says(user.what, "'nobody'") && says(user.what, "400") && says(user.what, "--login")) << user.what;

  server.password = kPassword;
  server.role_less = "runner";
  const BackendFailure role = failure_of(backend.take());
  EXPECT_EQ(role.kind, Failure::unauthorised);
  EXPECT_TRUE(says(role.what, "role") && says(role.what, "'runner'") && says(role.what, "403")) << role.what;
  const PostOutcome post = backend.post("{}");
  EXPECT_EQ(post.kind, Post::later);
  EXPECT_EQ(post.what, role.what);
  server.role_less.clear();
  EXPECT_TRUE(backend.take());  // it was given in the meantime
}

TEST_F(BackendTest, A401ForEverIsNotAskedForEver) {
  GoodBackend server;
  server.accepts_tokens = false;
  Backend backend = server.client();
  EXPECT_EQ(failure_of(backend.take()).kind, Failure::unauthorised);
  EXPECT_EQ(server.take_asked(), (Words{"login", "get"}));
  server.accepts_tokens = true;
  ASSERT_TRUE(backend.take());
  server.accepts_tokens = false;
  EXPECT_EQ(failure_of(backend.take()).kind, Failure::unauthorised);
  EXPECT_EQ(server.take_asked(), (Words{"login", "get", "get", "refresh", "get", "login", "get"}));
  const PostOutcome post = backend.post("{}");
  EXPECT_EQ(post.kind, Post::later) << post.what;
  EXPECT_TRUE(server.bodies.empty());
}

TEST_F(BackendTest, ALoginThatIsNone) {
  GoodBackend server;
  Backend backend = server.client();
  const auto kind_of = [&](int status, const std::string& body) {
    server.broken["login"] = {status, body};
    return failure_of(backend.take()).kind;
  };
  EXPECT_EQ(kind_of(500, "{}"), Failure::unreachable);
  EXPECT_EQ(kind_of(429, "{}"), Failure::unreachable);
  EXPECT_EQ(kind_of(404, "{}"), Failure::nonsense);
  EXPECT_EQ(kind_of(302, "{}"), Failure::nonsense);
  for (const char* body :
       {"", "{}", "[]", "<html>", R"({"accessToken": 5})", R"({"accessToken": ""})", R"({"accessToken": "s3cret\r\nX-Evil: 1"})"})
    EXPECT_EQ(kind_of(200, body), Failure::nonsense) << body;
  EXPECT_EQ(server.take_asked(), Words(11, "login"));
}

TEST_F(BackendTest, NoSecretIsInATextThoughTheBackendSaysItAloud) {
  GoodBackend server;
  Backend backend = server.client();
  ASSERT_TRUE(backend.take());
  const std::string aloud = R"({"message":"I know s3cret-word and\n s3cret-access-1 and s3cret-refresh-1 of you"})";
  for (const int status : {400, 500, 504, 403}) {
    server.broken = {{"get", {status, aloud}}, {"post", {status, aloud}}, {"ask", {status, aloud}}};
    const std::string what = failure_of(backend.take()).what;
    const PostOutcome outcome = backend.post("s3cret-body");
    expect_no_secret(outcome.what);
    if (status != 403) EXPECT_TRUE(says(what, "I know *** and")) << what;
    if (status != 403) EXPECT_TRUE(says(outcome.what, "I know *** and")) << outcome.what;
  }
  for (const int status : {400, 401, 403, 404, 500, 200}) {
    server.broken = {{"login", {status, aloud}}};
    failure_of(server.client().take());
  }
}

// --- results

TEST_F(BackendTest, WhatAStatusSaysOfAResult) {
  GoodBackend server;
  server.wants_token = false;
  Backend backend = server.client(false);
  const auto kind_of = [&](int status) {
    server.post = {status, R"({"message":"because"})"};
    const PostOutcome outcome = backend.post("{}");
    if (outcome.kind != Post::accepted)
      EXPECT_TRUE(says(outcome.what, std::to_string(status)) && says(outcome.what, "127.0.0.1:")) << outcome.what;
    return outcome.kind;
  };
  for (const int status : {200, 201, 204}) EXPECT_EQ(kind_of(status), Post::accepted) << status;
  for (const int status : {400, 404, 405, 409, 410, 413, 422}) EXPECT_EQ(kind_of(status), Post::refused) << status;
  for (const int status : {500, 501, 502, 503, 429, 408, 302, 401, 403}) EXPECT_EQ(kind_of(status), Post::later) << status;
  EXPECT_EQ(kind_of(504), Post::ambiguous);
}

TEST_F(BackendTest, AResultThatWasNotSentIsPostedLater) {
  const DeafPort port;
  const PostOutcome deaf = Backend::create({.backend_url = "http://" + port.origin()}, -1)->post("{}");
  EXPECT_EQ(deaf.kind, Post::later);
  EXPECT_TRUE(says(deaf.what, port.origin())) << deaf.what;
  EXPECT_EQ(post_to([](Peer& peer, int) { peer.reset(); }, std::string(64u << 20, 'x')).kind, Post::later);
}

TEST_F(BackendTest, AResultWhoseAnswerWasLostIsAmbiguous) {
  std::atomic<int> posts = 0;
  EXPECT_EQ(post_to([&](Peer& peer, int) { posts += !peer.read_request().empty(); }).kind, Post::ambiguous);
  EXPECT_EQ(posts, 1);
  const auto reset_after = [](std::string_view text) {
    return post_to([=](Peer& peer, int) {
             peer.read_request();
             peer.send(text);
             std::this_thread::sleep_for(20ms);
             peer.reset();
           })
        .kind;
  };
  EXPECT_EQ(reset_after(""), Post::ambiguous);
  EXPECT_EQ(reset_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), Post::ambiguous);
  EXPECT_EQ(reset_after("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n{"), Post::ambiguous);
}

TEST_F(BackendTest, AResultIsNotAmbiguousWhereOnlyTheLoginWasLost) {
  const RawServer server([](Peer& peer, int) {
    peer.read_request();
    peer.reset();
  });
  AgentSettings settings{.backend_url = server.url("")};
  settings.auth = true;
  EXPECT_EQ(Backend::create(settings, -1)->post("{}").kind, Post::later);
}

TEST_F(BackendTest, StopEndsWhatHangs) {
  Pipe stop = *make_pipe();
  const RawServer server([&](Peer& peer, int) {
    peer.read_request();
    stop.write.reset();
    peer.hang();
  });
  auto backend = Backend::create({.backend_url = server.url("")}, stop.read.get());
  ASSERT_TRUE(backend);
  EXPECT_EQ(failure_of(backend->take()).kind, Failure::interrupted);
  EXPECT_EQ(backend->post("{}").kind, Post::later);  // it was not even begun
}

TEST_F(BackendTest, AResultGoesToNoServerThatIsNotTrusted) {
  const Certificates certificates;
  Listening<httplib::SSLServer> server(certificates.path("right.pem").c_str(), certificates.path("right.key").c_str());
  server.server.Post("/api/task/result", [](const httplib::Request&, httplib::Response&) {});
  server.start();
  AgentSettings settings{.backend_url = fmt::format("https://localhost:{}", server.port)};
  const PostOutcome refused = Backend::create(settings, -1)->post("{}");
  EXPECT_EQ(refused.kind, Post::later);
  EXPECT_TRUE(says(refused.what, "certificate") && says(refused.what, "--ca-file")) << refused.what;
  EXPECT_EQ(failure_of(Backend::create(settings, -1)->take()).kind, Failure::unusable);
  EXPECT_EQ(server.requests, 0);
  settings.ca_file = certificates.path("ca.pem");
  EXPECT_EQ(Backend::create(settings, -1)->post("{}").kind, Post::accepted);
}

// --- asking after a result

TEST_F(BackendTest, WhetherAResultIsThere) {
  GoodBackend server;
  Backend backend = server.client();
  const auto is_there = [&](int status, const std::string& body) {
    server.ask = {status, body};
    return backend.ask_result({.attempt = 21}).value_or(std::nullopt);
  };
  for (const char* body : {R"({"id":21,"status":"FINISHED","isPassed":false,"testResults":[]})", R"({"status":"done"})",
                           R"({"isPassed":true})", R"({"isError":true})", R"({"isPassed":false,"testResults":[{"name":"a"}]})",
                           R"({"attempt":21,"testResults":{"isPassed":false,"testCases":[{"name":"a"}]}})"})
    EXPECT_EQ(is_there(200, body), std::optional(true)) << body;
  for (const char* body :
       {R"({"id":21,"status":"IN_PROGRESS","isPassed":null,"testResults":[]})", R"({"status":"in progress","isPassed":false})",
        R"({"isPassed":null})", R"({"status":"AVAILABLE"})", R"({"status":null,"isPassed":null,"testResults":null})"})
    EXPECT_EQ(is_there(200, body), std::optional(false)) << body;
  for (const char* body :
       {"", "null", "[]", "{}", R"({"isPassed":false})", R"({"isPassed":false,"testResults":[]})", R"({"status":"PURPLE"})", "<html>",
        R"({"status":"PURPLE","isPassed":null})", R"({"status":5,"isPassed":null})", R"({"testResults":[{]})"})
    EXPECT_EQ(is_there(200, body), std::nullopt) << body;
  for (const int status : {404, 405, 400, 403, 500, 501, 302, 204})
    EXPECT_EQ(is_there(status, R"({"status":"FINISHED"})"), std::nullopt) << status;
  EXPECT_EQ(server.asked_for.front(), "/api/session/attempt/21");
}

TEST_F(BackendTest, AnIdIsOnePartOfAPath) {
  GoodBackend server;
  server.ask = {200, R"({"status":"FINISHED"})"};
  Backend backend = server.client();
  EXPECT_EQ(backend.ask_result({.form = WireForm::uuid, .id = "a/../b?c#d e\x7f"}).value_or(std::nullopt), std::optional(true));
  EXPECT_EQ(server.asked_for, Words{"/api/session/attempt/a%2F..%2Fb%3Fc%23d%20e%7F"});
  for (const char* id : {"", ".", ".."}) EXPECT_EQ(backend.ask_result({.form = WireForm::uuid, .id = id}).value_or(true), std::nullopt);
  EXPECT_EQ(server.asked_for.size(), 1u);
}

TEST_F(BackendTest, ABackendThatCannotBeAskedNowMaySayLater) {
  GoodBackend server;
  Backend backend = server.client();
  for (const int status : {502, 503, 504, 429, 408}) {
    server.ask = {status, "{}"};
    const auto answer = backend.ask_result({.attempt = 21});
    ASSERT_FALSE(answer) << status;
    EXPECT_EQ(answer.error().kind, Failure::unreachable);
  }
  const DeafPort port;
  EXPECT_FALSE(Backend::create({.backend_url = "http://" + port.origin()}, -1)->ask_result({.attempt = 21}));
}

// --- waiting

TEST(Backoff, DoublesToAMinuteLessUpToHalf) {
  EXPECT_EQ(backoff(0, 0), 1s);
  EXPECT_EQ(backoff(1, 0), 1s);
  EXPECT_EQ(backoff(2, 0), 2s);
  EXPECT_EQ(backoff(6, 0), 32s);
  EXPECT_EQ(backoff(7, 0), 60s);
  EXPECT_EQ(backoff(4'000'000'000u, 0), 60s);
  EXPECT_EQ(backoff(3, 0.5), 3s);
  EXPECT_GT(backoff(3, 0.999), 2s);
  EXPECT_EQ(backoff(3, 7), 2s);
  EXPECT_EQ(backoff(3, -7), 4s);
}

}  // namespace
}  // namespace casemate
