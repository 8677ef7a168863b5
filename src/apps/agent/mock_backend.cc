#include "apps/agent/mock_backend.h"

#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <httplib.h>
#include <sys/random.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "sys/thread.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kAddress = "127.0.0.1";
constexpr const char* kJsonType = "application/json";
constexpr JsonBounds kBounds{.depth = 16, .values = 2'000'000};
constexpr std::size_t kMostBody = 128u << 20;
constexpr std::size_t kMostDetails = 255;  // characters of the column in the database
constexpr std::size_t kMostKeptAlive = 100'000;

struct Random {
  std::array<std::uint8_t, 16> bytes{};
  Random() {
    while (::getrandom(bytes.data(), bytes.size(), 0) < 0 && errno == EINTR) continue;
  }
  [[nodiscard]] std::string hex() const { return fmt::format("{:02x}", fmt::join(bytes, "")); }
  // RFC 9562, version 4.
  [[nodiscard]] std::string uuid() const {
    const std::string text = hex();
    return fmt::format("{}-{}-4{}-8{}-{}", text.substr(0, 8), text.substr(8, 4), text.substr(13, 3), text.substr(17, 3),
                       text.substr(20, 12));
  }
  // Positive, and fits 32 bits with a sign, as backends' keys do.
  [[nodiscard]] std::int64_t number() const { return 1 + ((bytes[0] & 0x3f) << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]); }
};

// As the contract has a task on the wire: a single laboratory is a number.
std::string wire_json(const Task& task) {
  Json json;
  if (task.form == WireForm::attempt) {
    json["attempt"] = task.attempt;
  } else {
    json["id"] = task.id;
    json["status"] = "AVAILABLE";
  }
  json["repositoryUrl"] = task.repository_url;
  json["branch"] = task.branch;
  if (task.laboratories.size() == 1)
    json["laboratoryNumber"] = task.laboratories[0];
  else if (!task.laboratories.empty())
    json["laboratoryNumber"] = task.laboratories;
  if (!task.connected_tests.empty()) json["connectedTests"] = task.connected_tests;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool any_nul(const nlohmann::json& json) {
  if (json.is_string()) return json.get_ref<const std::string&>().find('\0') != std::string::npos;
  for (const auto& inner : json) {
    if (inner.is_structured() || inner.is_string()) {
      if (any_nul(inner)) return true;
    }
  }
  return false;
}

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char byte : text) count += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  return count;
}

void say(httplib::Response& response, int status, std::string_view message) {
  response.status = status;
  response.set_content(Json{{"message", message}}.dump(), kJsonType);
}

// An attempt as the backend knows it.
struct Attempt {
  enum class State { available, running, finished, deleted } state = State::available;
  Task task;
  std::string result;  // the body as it came
};

struct Grant {
  Clock::time_point ends;
  bool has_role = true;
};

}  // namespace

struct MockBackend::Parts {
  explicit Parts(MockOptions given) : options(std::move(given)) {
    for (Task& task : options.tasks) attempts.push_back({.task = std::move(task)});
    options.tasks.clear();
  }
  ~Parts() {
    server.stop();
    if (listener.joinable()) listener.join();
  }

  void route();
  Result<void> listen();

  void login(const httplib::Request& request, httplib::Response& response);
  void refresh(const httplib::Request& request, httplib::Response& response);
  void give(httplib::Response& response);
  void take(const httplib::Request& request, httplib::Response& response);
  void tell(const std::string& id, httplib::Response& response);
  void grant(bool has_role, httplib::Response& response);
  bool allowed(const httplib::Request& request, httplib::Response& response);
  Attempt* find(const nlohmann::json& result);

  MockOptions options;
  mutable std::mutex mutex;  // of all that follows, up to the server
  std::vector<Attempt> attempts;
  std::vector<std::string> results;
  std::map<std::string, Grant> access;         // by token
  std::map<std::string, bool> refresh_tokens;  // whether their user has the role
  int port = 0;
  httplib::Server server;
  std::jthread listener;
};

void MockBackend::Parts::grant(bool has_role, httplib::Response& response) {
  const std::string token = Random().hex();
  const std::string again = Random().hex();
  std::erase_if(access, [](const auto& entry) { return entry.second.ends < Clock::now(); });
  access[token] = {Clock::now() + options.token_life, has_role};
  refresh_tokens[again] = has_role;
  response.set_content(Json{{"type", "Bearer"}, {"accessToken", token}, {"refreshToken", again}}.dump(), kJsonType);
}

void MockBackend::Parts::login(const httplib::Request& request, httplib::Response& response) {
  const auto body = untrusted_object(request.body, kBounds);
  if (!body) return say(response, 400, "not a JSON object");
  const std::string name = text_at(*body, "username");
  const bool roleless = !options.roleless.empty() && name == options.roleless;
  if (name != options.login && !roleless) return say(response, 400, "no such user");
  if (text_at(*body, "password") != options.password) return say(response, 401, "wrong password");
  grant(!roleless, response);
}

void MockBackend::Parts::refresh(const httplib::Request& request, httplib::Response& response) {
  const auto body = untrusted_object(request.body, kBounds);
  const auto found = body ? refresh_tokens.find(text_at(*body, "refreshToken")) : refresh_tokens.end();
  if (found == refresh_tokens.end()) return say(response, 401, "no such refresh token");
  const bool has_role = found->second;
  refresh_tokens.erase(found);  // a refresh token serves once
  grant(has_role, response);
}

bool MockBackend::Parts::allowed(const httplib::Request& request, httplib::Response& response) {
  if (!options.auth) return true;
  constexpr std::string_view kBearer = "Bearer ";
  const std::string header = request.get_header_value("Authorization");
  const auto found = header.starts_with(kBearer) ? access.find(header.substr(kBearer.size())) : access.end();
  if (found == access.end() || found->second.ends < Clock::now()) {
    say(response, 401, "no valid token");
    return false;
  }
  if (!found->second.has_role) say(response, 403, "the user lacks the role");
  return found->second.has_role;
}

void MockBackend::Parts::give(httplib::Response& response) {
  for (Attempt& attempt : attempts) {
    if (attempt.state != Attempt::State::available) continue;
    attempt.state = Attempt::State::running;
    return response.set_content(wire_json(attempt.task), kJsonType);
  }
  response.set_content(R"({"status":"UNAVAILABLE"})", kJsonType);
}

Attempt* MockBackend::Parts::find(const nlohmann::json& result) {
  const nlohmann::json* number = member_if(result, "attempt", &nlohmann::json::is_number_integer);
  for (Attempt& attempt : attempts) {
    const bool same =
        attempt.task.form == WireForm::uuid ? text_at(result, "id") == attempt.task.id : number && *number == attempt.task.attempt;
    if (same) return &attempt;
  }
  return nullptr;
}

void MockBackend::Parts::take(const httplib::Request& request, httplib::Response& response) {
  const auto body = untrusted_object(request.body, kBounds);
  if (!body) return say(response, 400, "not a JSON object");
  Attempt* const attempt = find(*body);
  if (!attempt || attempt->state == Attempt::State::deleted) return say(response, 400, "no such attempt");
  const nlohmann::json* const inner = member_if(*body, "testResults", &nlohmann::json::is_object);
  if (characters(text_at(inner ? *inner : *body, "errorDetails")) > kMostDetails)
    return say(response, 500, "value too long for type character varying(255)");
  if (any_nul(*body)) return say(response, 500, "invalid byte sequence: 0x00");
  if (attempt->state == Attempt::State::finished) {
    attempt->state = Attempt::State::deleted;
    return say(response, 200, "deleted");
  }
  attempt->state = Attempt::State::finished;
  attempt->result = request.body;
  results.push_back(request.body);
  say(response, 200, "taken");
}

void MockBackend::Parts::tell(const std::string& id, httplib::Response& response) {
  for (const Attempt& attempt : attempts) {
    if (attempt.state == Attempt::State::deleted) continue;
    if (id != (attempt.task.form == WireForm::uuid ? attempt.task.id : std::to_string(attempt.task.attempt))) continue;
    const bool finished = attempt.state == Attempt::State::finished;
    Json told{{"id", id}, {"status", finished ? "FINISHED" : attempt.state == Attempt::State::running ? "IN_PROGRESS" : "AVAILABLE"}};
    const Json result = finished ? Json::parse(attempt.result) : Json::object();
    const Json& inner = result.contains("testResults") && result["testResults"].is_object() ? result["testResults"] : result;
    told["isPassed"] = inner.value("isPassed", Json());
    told["testResults"] = inner.value(&inner == &result ? "testResults" : "testCases", Json::array());
    return response.set_content(told.dump(), kJsonType);
  }
  say(response, 404, "no such attempt");
}

void MockBackend::Parts::route() {
  // What a path of an option means is its text alone; httplib would read it as a regular expression.
  server.Get(".*", [this](const httplib::Request& request, httplib::Response& response) {
    constexpr std::string_view kAttempt = "/api/session/attempt/";
    const std::lock_guard lock(mutex);
    if (request.path != options.get_api && !request.path.starts_with(kAttempt)) return say(response, 404, "not found");
    if (!allowed(request, response)) return;
    if (request.path == options.get_api) return give(response);
    tell(request.path.substr(kAttempt.size()), response);
  });
  server.Post(".*", [this](const httplib::Request& request, httplib::Response& response) {
    const std::unique_lock lock(mutex);
    if (request.path == options.login_api) return login(request, response);
    if (request.path == options.token_refresh_api) return refresh(request, response);
    if (request.path != options.post_api) return say(response, 404, "not found");
    if (!allowed(request, response)) return;
    const std::size_t before = results.size();
    take(request, response);
    if (results.size() > before && options.on_result) options.on_result(request.body);
  });
}

Result<void> MockBackend::Parts::listen() {
  server.set_payload_max_length(kMostBody);
  server.set_keep_alive_max_count(kMostKeptAlive);
  server.set_keep_alive_timeout(1);  // seconds, which stop() waits for
  server.set_tcp_nodelay(true);
  server.set_socket_options([](socket_t socket) {
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::fcntl(socket, F_SETFD, FD_CLOEXEC);
  });
  if (options.port != 0)
    port = server.bind_to_port(kAddress, options.port) ? options.port : -1;
  else
    port = server.bind_to_any_port(kAddress);
  if (port <= 0)
    return fail(ErrorCode::not_supported,
                fmt::format("the mock backend can't listen on {}:{}: choose another port", kAddress, options.port), errno);
  TRY_ASSIGN(listener, start_thread([this](const std::stop_token&) { server.listen_after_bind(); }));
  while (!server.is_running()) std::this_thread::sleep_for(milliseconds(1));
  return {};
}

Result<MockBackend> MockBackend::start(MockOptions options) {
  auto parts = std::make_unique<Parts>(std::move(options));
  parts->route();
  TRY(parts->listen());
  return MockBackend(std::move(parts));
}

MockBackend::MockBackend(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
MockBackend::MockBackend(MockBackend&&) noexcept = default;
MockBackend& MockBackend::operator=(MockBackend&&) noexcept = default;
MockBackend::~MockBackend() = default;

std::string MockBackend::url() const { return fmt::format("http://{}:{}", kAddress, parts_->port); }

std::vector<std::string> MockBackend::results() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->results;
}

Result<MockRun> start_mock(const AgentSettings& settings, const std::string& directory, std::size_t count,
                           std::function<void(const std::string& body)> on_result) {
  TRY_ASSIGN(ExampleLab lab, ExampleLab::write(directory));
  MockOptions options;
  for (std::size_t i = 0; i < count; ++i) {
    Task task;
    task.form = settings.wire.value_or(WireForm::attempt);
    task.attempt = Random().number();
    task.id = Random().uuid();
    task.repository_url = lab.project_url();
    task.branch = "main";
    task.laboratories = {1};
    task.connected_tests = {"test_build", "test_count"};
    options.tasks.push_back(std::move(task));
  }
  options.auth = settings.auth;
  options.login = settings.login;
  options.password = settings.password;
  options.get_api = settings.get_api;
  options.post_api = settings.post_api;
  options.login_api = settings.login_api;
  options.token_refresh_api = settings.token_refresh_api;
  options.on_result = std::move(on_result);
  TRY_ASSIGN(MockBackend backend, MockBackend::start(std::move(options)));
  return MockRun{std::move(lab), std::move(backend)};
}

}  // namespace casemate
