#include "apps/agent/backend.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "apps/agent/bearer.h"
#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "net/http.h"

namespace casemate {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr JsonBounds kBounds{.depth = 16, .values = 200'000};
constexpr std::size_t kMostQuoted = 200;
constexpr const char* kAttemptPath = "/api/session/attempt/";

// How a request of ours got no answer that its caller could look at. `sent`: it may have been taken all the same.
struct Trouble {
  BackendFailure failure;
  bool sent = false;
};

// By what means the token at hand came to be, in this call.
enum class Token { kept, refreshed, logged_in };

bool says_later(int status) { return status >= 500 || status == 429 || status == 408; }

BackendFailure failure_of(const HttpFailure& failure) {
  using Kind = BackendFailure::Kind;
  Kind kind = failure.unanswerable ? Kind::unusable : Kind::unreachable;
  if (failure.unanswerable && failure.sent) kind = Kind::nonsense;
  // URL and headers are checked before: what could be wrong for good before anything is sent is the server's certificate.
  const char* const advice = kind == Kind::unusable ? " (for an authority of your own: --ca-file)" : "";
  return {.kind = failure.interrupted ? Kind::interrupted : kind, .what = failure.what + advice};
}

std::string url_of(std::string_view base, std::string_view path) {
  while (base.ends_with('/')) base.remove_suffix(1);
  return fmt::format("{}{}{}", base, path.starts_with('/') ? "" : "/", path);
}

// As one segment of a path: all but what RFC 3986 calls unreserved is escaped.
std::string segment(std::string_view text) {
  std::string escaped;
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    if ((value < 0x80 && std::isalnum(value)) || std::string_view("-._~").find(byte) != std::string_view::npos) {
      escaped += byte;
    } else {
      escaped += fmt::format("%{:02X}", value);
    }
  }
  return escaped == "." || escaped == ".." ? "" : escaped;  // never another path
}

// The word of a `status`, "in progress" as "IN_PROGRESS".
bool is_one_of(std::string word, const auto& words) {
  for (char& byte : word) byte = byte == ' ' || byte == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(byte)));
  return std::find(words.begin(), words.end(), word) != words.end();
}

// See Backend::ask_result.
std::optional<bool> result_in(const std::string& body) {
  static constexpr std::array<std::string_view, 12> kDone = {"FINISHED", "DONE",    "COMPLETE", "COMPLETED", "PASSED", "FAILED",
                                                             "SUCCESS",  "FAILURE", "ERROR",    "CHECKED",   "TESTED", "GRADED"};
  static constexpr std::array<std::string_view, 13> kWaiting = {"AVAILABLE",   "NEW",     "CREATED",   "WAITING", "QUEUED",
                                                                "IN_QUEUE",    "PENDING", "TAKEN",     "RUNNING", "SUBMITTED",
                                                                "IN_PROGRESS", "TESTING", "IN_TESTING"};
  const auto answer = untrusted_object(body, kBounds);
  if (!answer) return std::nullopt;
  const Json* results = member_if(*answer, "testResults", &Json::is_structured);
  if (results && results->is_object()) results = member_if(*results, "testCases", &Json::is_array);
  if (results && !results->empty()) return true;
  if (true_at(*answer, "isPassed") || true_at(*answer, "isError")) return true;
  if (const Json* status = member_if(*answer, "status", &Json::is_string)) {
    const auto& word = status->get_ref<const std::string&>();
    return is_one_of(word, kDone) ? std::optional(true) : is_one_of(word, kWaiting) ? std::optional(false) : std::nullopt;
  }
  const bool no_status = !answer->contains("status") || member_if(*answer, "status", &Json::is_null);
  return no_status && member_if(*answer, "isPassed", &Json::is_null) ? std::optional(false) : std::nullopt;
}

}  // namespace

struct Backend::Parts {
  HttpClient client;
  AgentSettings settings;
  std::string origin;  // "HOST:PORT", for texts
  BearerTokens tokens{};
  Clock::time_point refresh_at{};

  [[nodiscard]] std::string user() const { return fmt::format("user '{}'", printable_name(settings.login)); }

  [[nodiscard]] std::string without_secrets(std::string text) const {
    for (const std::string* secret : {&settings.password, &tokens.access, &tokens.refresh}) {
      if (secret->empty()) continue;
      for (std::size_t at = 0; (at = text.find(*secret, at)) != std::string::npos; at += 3) text.replace(at, secret->size(), "***");
    }
    return text;
  }

  // ": WORDS" of an answer that is no success, where it has some; else "".
  [[nodiscard]] std::string quoted(const HttpResponse& response) const {
    const auto answer = untrusted_object(response.body, kBounds);
    if (!answer) return "";
    for (const char* key : {"message", "detail", "error"}) {
      const std::string words = without_secrets(text_at(*answer, key));
      if (!words.empty()) return ": " + printable_name(words.substr(0, kMostQuoted));
    }
    return "";
  }

  [[nodiscard]] BackendFailure unauthorised(std::string what) const {
    return {.kind = BackendFailure::Kind::unauthorised, .what = std::move(what)};
  }

  [[nodiscard]] BackendFailure no_role() const {
    if (!settings.auth) return unauthorised(fmt::format("{} wants somebody with the runner's role (403): give --auth", origin));
    return unauthorised(fmt::format("{} is known to {}, but has not the runner's role (403)", user(), origin));
  }

  static HttpRequest json_post(std::string url, std::string body) {
    return {.method = "POST",
            .url = std::move(url),
            .headers = {"Content-Type: application/json", "Accept: application/json"},
            .body = std::move(body)};
  }

  void forget() {
    tokens = {};
    refresh_at = {};
  }

  bool keep(const HttpResponse& response) {
    auto read = response.status / 100 == 2 ? read_tokens(response.body) : std::nullopt;
    if (!read) return false;
    tokens = std::move(*read);
    // One that lives shorter than that is used for half its life.
    refresh_at = Clock::now() + std::max<std::chrono::milliseconds>(tokens.lifetime - settings.refresh_time, tokens.lifetime / 2);
    return true;
  }

  BackendFailure refused_login(const HttpResponse& response) const {
    switch (response.status) {
      case 401:
        return unauthorised(fmt::format("{} refuses the password of {} (401)", origin, user()));
      case 400:
        return unauthorised(fmt::format("{} knows no {} (400): see --login", origin, user()));
      case 403:
        return no_role();
      default:
        break;
    }
    if (says_later(response.status)) return {.what = fmt::format("{} can't log in {} now ({})", origin, user(), response.status)};
    return {.kind = BackendFailure::Kind::nonsense,
            .what = response.status / 100 == 2 ? fmt::format("{} answers a login without a token", origin)
                                               : fmt::format("{} has no login at {} ({}): see --login-api", origin,
                                                             printable_name(settings.login_api), response.status)};
  }

  std::expected<Token, BackendFailure> log_in() {
    forget();
    const Json body = {{"username", to_utf8(settings.login)}, {"password", to_utf8(settings.password)}};
    const auto response = client.send(json_post(url_of(settings.backend_url, settings.login_api), body.dump()));
    if (!response) return std::unexpected(failure_of(response.error()));
    if (!keep(*response)) return std::unexpected(refused_login(*response));
    return Token::logged_in;
  }

  // A refresh token is dead once it was used, whatever came of that; without one, or where it is refused, by logging in.
  std::expected<Token, BackendFailure> renew() {
    if (tokens.refresh.empty()) return log_in();
    const std::string once = std::exchange(tokens.refresh, "");
    const Json body = {{"refreshToken", once}};
    const auto response = client.send(json_post(url_of(settings.backend_url, settings.token_refresh_api), body.dump()));
    if (!response) {
      if (!response.error().sent) tokens.refresh = once;
      return std::unexpected(failure_of(response.error()));
    }
    if (!keep(*response)) return log_in();
    return Token::refreshed;
  }

  // An answer of any status but 401.
  std::expected<HttpResponse, Trouble> ask(HttpRequest request) {
    const auto headers = request.headers;
    std::expected<Token, BackendFailure> token = Token::kept;
    if (settings.auth && (tokens.access.empty() || Clock::now() >= refresh_at)) token = renew();
    for (;;) {
      if (!token) return std::unexpected(Trouble{.failure = token.error()});
      request.headers = headers;
      if (settings.auth) request.headers.push_back("Authorization: Bearer " + tokens.access);
      auto response = client.send(request);
      if (!response) return std::unexpected(Trouble{.failure = failure_of(response.error()), .sent = response.error().sent});
      if (response->status != 401) return std::move(*response);
      if (!settings.auth) return std::unexpected(Trouble{unauthorised(fmt::format("{} wants a login (401): give --auth", origin))});
      tokens.access.clear();
      if (token == Token::logged_in) {
        forget();
        return std::unexpected(
            Trouble{unauthorised(fmt::format("{} refuses the token that it has just given to {} (401)", origin, user()))});
      }
      token = token == Token::kept ? renew() : log_in();
    }
  }
};

Backend::Backend(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Backend::Backend(Backend&&) noexcept = default;
Backend& Backend::operator=(Backend&&) noexcept = default;
Backend::~Backend() = default;

Result<Backend> Backend::create(const AgentSettings& settings, int stop_fd) {
  auto origin = http_origin(settings.backend_url);
  if (!origin || settings.backend_url.find_first_of("?#") != std::string::npos)
    return fail(ErrorCode::invalid_input, "--backend-url wants an http:// or https:// URL with a host, as http://localhost:5000");
  HttpOptions options;
  options.ca_file = settings.ca_file;
  options.user_agent = "casemate-agent/" CASEMATE_VERSION;
  options.stop_fd = stop_fd;
  TRY_ASSIGN(HttpClient client, HttpClient::create(std::move(options)));
  return Backend(std::make_unique<Parts>(std::move(client), settings, std::move(*origin)));
}

std::expected<TaskAnswer, BackendFailure> Backend::take() {
  const AgentSettings& settings = parts_->settings;
  const auto nonsense = [&](std::string what) {
    return std::unexpected(BackendFailure{.kind = BackendFailure::Kind::nonsense, .what = std::move(what)});
  };
  auto response = parts_->ask({.url = url_of(settings.backend_url, settings.get_api), .headers = {"Accept: application/json"}});
  if (!response) return std::unexpected(std::move(response.error().failure));
  const std::string& origin = parts_->origin;
  const int status = response->status;
  if (status == 204) return TaskAnswer{};
  if (status == 403) {
    parts_->forget();  // the role may be in the token: the next one may have it
    return std::unexpected(parts_->no_role());
  }
  if (says_later(status))
    return std::unexpected(
        BackendFailure{.what = fmt::format("{} has no task to give now ({}){}", origin, status, parts_->quoted(*response))});
  if (status / 100 != 2)
    return nonsense(fmt::format("{} has no tasks at {} ({}){}: see --get-api", origin, printable_name(settings.get_api), status,
                                parts_->quoted(*response)));
  auto answer = read_task(response->body);
  if (!answer) return nonsense(fmt::format("{}: {}", origin, parts_->without_secrets(answer.error().what)));
  answer->problem = answer->task.problem = parts_->without_secrets(std::move(answer->problem));
  return std::move(*answer);
}

PostOutcome Backend::post(const std::string& body) {
  using Kind = PostOutcome::Kind;
  const AgentSettings& settings = parts_->settings;
  auto response = parts_->ask(Parts::json_post(url_of(settings.backend_url, settings.post_api), body));
  if (!response) return {.kind = response.error().sent ? Kind::ambiguous : Kind::later, .what = std::move(response.error().failure.what)};
  const int status = response->status;
  const std::string& origin = parts_->origin;
  if (status / 100 == 2) return {.kind = Kind::accepted, .what = ""};
  if (status == 403) {
    parts_->forget();
    return {.kind = Kind::later, .what = parts_->no_role().what};
  }
  const std::string words = parts_->quoted(*response);
  if (status == 504)
    return {.kind = Kind::ambiguous, .what = fmt::format("{} does not know what came of the result (504){}", origin, words)};
  if (says_later(status) || status < 400)
    return {.kind = Kind::later, .what = fmt::format("{} did not take the result ({}){}", origin, status, words)};
  return {.kind = Kind::refused, .what = fmt::format("{} refuses the result ({}){}", origin, status, words)};
}

std::expected<std::optional<bool>, BackendFailure> Backend::ask_result(const Task& task) {
  const std::string name = segment(task.form == WireForm::uuid ? task.id : std::to_string(task.attempt));
  if (name.empty()) return std::nullopt;
  auto response = parts_->ask({.url = url_of(parts_->settings.backend_url, kAttemptPath + name), .headers = {"Accept: application/json"}});
  if (!response) {
    if (response.error().failure.kind == BackendFailure::Kind::nonsense) return std::nullopt;
    return std::unexpected(std::move(response.error().failure));
  }
  // 500 and 501 are what some say of an attempt or a path that they do not know.
  if (says_later(response->status) && response->status != 500 && response->status != 501)
    return std::unexpected(
        BackendFailure{.what = fmt::format("{} can't say now what became of a result ({})", parts_->origin, response->status)});
  return response->status == 200 ? result_in(response->body) : std::nullopt;
}

std::chrono::milliseconds backoff(std::uint32_t failures, double jitter, std::chrono::milliseconds first, std::chrono::milliseconds most) {
  const double whole = std::min(static_cast<double>(most.count()),
                                static_cast<double>(first.count()) * std::exp2(std::min(std::max(failures, 1u), 32u) - 1.0));
  return std::chrono::milliseconds(std::llround(whole * (1 - std::clamp(jitter, 0.0, 1.0) / 2)));
}

}  // namespace casemate
